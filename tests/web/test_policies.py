"""The policies that statements name can be read by anybody, their exact bytes."""

from __future__ import annotations

import aiohttp

from gef_registry.oci.digest import Digest
from tests.fakes.gate_ports import POLICY


async def test_anybody_reads_a_policy_by_its_digest(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/api/v1/policies/{Digest.of(POLICY)}") as answer:
        assert answer.status == 200
        assert await answer.read() == POLICY
        assert answer.content_type == "application/yaml"


async def test_a_policy_nobody_judged_by_is_not_found(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/api/v1/policies/{Digest.of(b'another')}") as answer:
        assert answer.status == 404
    async with http.get("/api/v1/policies/default") as answer:
        assert answer.status == 400
