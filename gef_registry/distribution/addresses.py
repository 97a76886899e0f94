"""Which network addresses a client may connect to, when strangers choose the host names (SSRF).

A name is resolved once, every address is judged, and the connection goes to a judged address: a name that also points
inside is refused whole, and an answer that changes later changes nothing. Literal addresses and redirects pass the same
gate, since it sits where the socket is made. Without a policy a client connects anywhere.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass
from ssl import SSLContext

from aiohttp import TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA special-purpose registries, beyond what every Python release knows.
_REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")


class AddressRefused(OSError):
    """An address the policy does not permit; aiohttp carries it inside its own connection error."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Public addresses only, plus the networks in `allow`; `ports` None means any."""

    allow: tuple[Network, ...] = ()
    ports: frozenset[int] | None = None

    def permits(self, address: Address) -> bool:
        if any(address.version == network.version and address in network for network in self.allow):
            return True
        if isinstance(address, ipaddress.IPv6Address) and (inner := _embedded(address)) is not None:
            return self.permits(inner)
        if any(address.version == network.version and address in network for network in _REFUSED):
            return False
        return address.is_global and not address.is_multicast

    def require(self, host: str, port: int, addresses: list[str]) -> None:
        """Raises AddressRefused unless every address, and the port, is permitted."""
        if self.ports is not None and port not in self.ports:
            raise AddressRefused(f"port {port} of {host} is not permitted")
        for text in addresses:
            if not self.permits(ipaddress.ip_address(text.partition("%")[0])):
                raise AddressRefused(f"{host} is at {text}, an address that is not permitted")


def guarded_connector(
    policy: AddressPolicy, *, resolver: AbstractResolver | None = None, ssl: SSLContext | bool = True
) -> TCPConnector:
    """A connector that reaches only what `policy` permits. Make it inside the running loop."""

    def make_socket(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        family, kind, protocol, _, where = info
        policy.require(str(where[0]), int(str(where[1])), [str(where[0])])
        return socket.socket(family, kind, protocol)

    return TCPConnector(
        resolver=_GuardedResolver(policy, resolver or ThreadedResolver()), socket_factory=make_socket, ssl=ssl
    )


class _GuardedResolver(AbstractResolver):
    """Judges all addresses of a name before any is tried."""

    def __init__(self, policy: AddressPolicy, resolver: AbstractResolver) -> None:
        self._policy, self._resolver = policy, resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        self._policy.require(host, port, [result["host"] for result in found])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address really leads to: mapped, compatible, 6to4, NAT64, Teredo's client."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (address in _V4_COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
