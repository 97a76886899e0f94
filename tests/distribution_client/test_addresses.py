"""Only public addresses, however they are written; judged once and then connected to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.distribution.addresses import AddressPolicy, AddressRefused, guarded_connector
from gef_registry.distribution.client import RegistryClient
from gef_registry.errors import Denied
from gef_registry.oci.reference import Reference

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.127.255.255", "0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.0.192", "198.18.0.1", "192.0.2.1", "240.0.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::",
    "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "100::1", "fec0::1", "5f00::1", "3fff::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]  # fmt: skip


@pytest.mark.parametrize("text", INSIDE)
def test_an_inside_address_is_refused(text: str) -> None:
    assert not AddressPolicy().permits(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_public_address_is_permitted(text: str) -> None:
    assert AddressPolicy().permits(ipaddress.ip_address(text))


@given(st.ip_addresses())
@settings(max_examples=200)
def test_what_is_permitted_is_global_and_so_is_what_it_embeds(address: ipaddress.IPv4Address) -> None:
    if AddressPolicy().permits(address):
        assert address.is_global or address in ipaddress.ip_network("64:ff9b::/96")
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
@settings(max_examples=100)
def test_a_mapped_address_is_judged_as_the_one_it_stands_for(address: ipaddress.IPv4Address) -> None:
    assert AddressPolicy().permits(ipaddress.ip_address(f"::ffff:{address}")) is AddressPolicy().permits(address)


def test_a_network_can_be_allowed_and_one_bad_address_spoils_a_name() -> None:
    policy = AddressPolicy(allow=(ipaddress.ip_network("10.1.0.0/16"),), ports=frozenset({443}))
    policy.require("h", 443, ["10.1.2.3", "8.8.8.8"])
    with pytest.raises(AddressRefused, match=r"10\.2\.0\.1"):
        policy.require("h", 443, ["10.1.2.3", "10.2.0.1"])
    with pytest.raises(AddressRefused, match="port 22"):
        policy.require("h", 22, ["8.8.8.8"])


class Answers(AbstractResolver):
    """A name server that answers differently each time."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers.pop(0)
        return [ResolveResult(hostname=host, host=a, port=port, family=socket.AF_INET, proto=0, flags=0) for a in found]

    async def close(self) -> None: ...


async def test_a_name_that_also_points_inside_is_not_connected_to() -> None:
    connector = guarded_connector(AddressPolicy(), resolver=Answers(["8.8.8.8", "127.0.0.1"]))
    async with ClientSession(connector=connector) as session:
        with pytest.raises(OSError, match="not permitted"):
            await session.get("http://rebinding.example/")


async def test_a_literal_address_passes_the_same_gate(serve: Callable[..., Awaitable[Any]]) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="inside")

    server = await serve(hello)
    for url in (f"http://{server.host}/", f"http://[::ffff:127.0.0.1]:{server.host.split(':')[1]}/"):
        async with ClientSession(connector=guarded_connector(AddressPolicy())) as session:
            with pytest.raises(OSError, match="not permitted"):
                await session.get(url)
    assert server.requests == []
    allowed = AddressPolicy(allow=(ipaddress.ip_network("127.0.0.0/8"),))
    async with (
        ClientSession(connector=guarded_connector(allowed)) as session,
        session.get(f"http://{server.host}/") as answer,
    ):
        assert await answer.text() == "inside"


async def test_the_client_says_that_an_address_is_denied(
    serve: Callable[..., Awaitable[Any]], make_client: Callable[..., RegistryClient]
) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response()

    server = await serve(hello)
    client = make_client(server.host, addresses=AddressPolicy())
    with pytest.raises(Denied, match="not permitted"):
        await client.manifest(Reference.parse(f"{server.host}/a:1"))
    assert server.requests == []
