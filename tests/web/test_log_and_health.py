"""The public log as files, health and metrics."""

from __future__ import annotations

import asyncio

import pytest

from gef_registry.web.ports import Health
from tests.fakes.gate_ports import MemoryGate, digest_of

FOREVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "content_type", "caching"),
    [
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("keys", "application/json", "no-cache"),
        ("trusted_root.json", "application/json", "no-cache"),
        ("tile/0/000", "application/octet-stream", FOREVER),
        ("tile/entries/000.p/3", "application/octet-stream", FOREVER),
        ("statements/000", "application/x-ndjson", FOREVER),
        ("statements/001", "application/x-ndjson", "no-cache"),
        ("statement/" + "ab" * 32, "application/json", FOREVER),
    ],
)
async def test_log_files_have_their_type_and_may_be_kept_as_long_as_they_hold(
    http, gate: MemoryGate, path: str, content_type: str, caching: str
) -> None:
    async with http.get(f"/log/{path}") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Cache-Control"] == caching
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert await answer.read() == await gate.log(path)


@pytest.mark.parametrize(
    "path",
    [
        "lock",
        "signed-head",
        "tmp/0",
        "tile/0/..%2f..%2fkeys",
        "statement/x",
        "statements/..",
        "",
        "tile/0/999",
    ],
)
async def test_nothing_else_is_served_from_the_log(http, path: str) -> None:
    async with http.get(f"/log/{path}") as answer:
        assert answer.status == 404


async def test_a_path_that_climbs_leads_nowhere(base: str) -> None:
    host, port = base.removeprefix("http://").split(":")
    for path in ("/log/tile/../keys", "/log/tile/0/../../checkpoint", "/static/../ui/pages.py"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in await reader.readline()
        writer.close()


async def test_a_digest_has_proofs_or_is_not_there(http, gate: MemoryGate) -> None:
    gate.submission("image")
    async with http.get(f"/log/proof/{digest_of('image')}") as answer:
        document = await answer.json()
    assert document["entries"][0]["kind"] == "admission"
    async with http.get(f"/log/proof/{digest_of('nothing')}") as answer:
        assert answer.status == 404
    async with http.get("/log/proof/nonsense") as answer:
        assert answer.status == 400


async def test_health_is_alive_and_ready_or_says_why_not(http, gate: MemoryGate) -> None:
    async with http.get("/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    async with http.get("/readyz") as answer:
        assert (answer.status, await answer.json()) == (200, {"ready": True, "problems": []})
    gate.health = Health(False, ("the scanner is missing",))
    async with http.get("/readyz") as answer:
        assert (answer.status, await answer.json()) == (503, {"ready": False, "problems": ["the scanner is missing"]})


async def test_metrics_count_requests_by_route_and_show_the_gates_figures(http, gate: MemoryGate) -> None:
    for name in ("a", "b"):
        await (await http.get(f"/api/v1/services/trusted/{name}/x")).read()
    await (await http.request("PROPFIND", "/nowhere")).read()
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert 'gef_http_requests_total{method="GET",route="/api/v1/services/{repository}",status="404"} 2.0' in text
    assert 'method="other"' in text and "PROPFIND" not in text
    assert "gef_submissions_waiting 2.0" in text and "bad name" not in text
    gate.failing.fail.append("metrics")
    async with http.get("/metrics") as answer:
        text = await answer.text()
    assert "gef_figures_readable 0.0" in text and "gef_http_requests_total" in text
