"""Pages show what is so and nothing a label injects; every answer carries its headers."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import aiohttp
import pytest

from gef_registry.admission.review import Opinion, Review
from gef_registry.admission.states import State
from gef_registry.web.text import plain
from gef_registry.web.ui.findings import arrange
from tests.fakes.gate_ports import START, MemoryGate, description, finding

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
BIDI = "safe\u202etxt.exe\u2066\u200b\x1b[31m"


async def page(http, path: str, status: int = 200, **headers: str) -> str:
    async with http.get(path, headers=headers) as answer:
        text = await answer.text()
        assert answer.status == status, text
        assert answer.content_type == "text/html"
        return text


async def test_the_list_shows_services_and_searches(http, gate: MemoryGate) -> None:
    assert "Nothing is admitted yet" in await page(http, "/")
    gate.submission()
    gate.submission("other", repository="trusted/climate/cdo", service=description("Climate operators"))
    text = await page(http, "/")
    assert "Waveform metadata" in text and "Climate operators" in text
    text = await page(http, "/?q=climate")
    assert "Waveform metadata" not in text and "Climate operators" in text
    assert "No service matches" in await page(http, "/?q=nothing+like+it")


async def test_a_service_page_says_how_to_pull_and_verify_by_the_public_address(http, gate: MemoryGate) -> None:
    old, new = gate.submission("old", tag="1.0.0"), gate.submission("new", tag="2.0.0")
    text = await page(http, "/services/trusted/seis/waveform", Host="evil.example")
    assert f"docker pull gate.example.org/trusted/seis/waveform@{new.request.digest}" in text
    assert f"gef-registry verify gate.example.org/trusted/seis/waveform@{new.request.digest}" in text
    assert "evil.example" not in text
    assert "/input" in text and "/output" in text and "2 GiB" in text
    text = await page(http, "/services/trusted/seis/waveform?tag=1.0.0")
    assert f"@{old.request.digest}" in text and "the highest version is 2.0.0" in text
    assert "entry 0 of" in text
    await page(http, "/services/trusted/seis/waveform?tag=3", 404)
    await page(http, "/services/trusted/seis/nothing", 404)


async def test_an_image_without_labels_that_reviewers_let_pass_still_has_a_page(http, gate: MemoryGate) -> None:
    gate.submission(service={})
    assert "trusted/seis/waveform" in await page(http, "/")
    assert "trusted/seis/waveform:1.0.0" in await page(http, "/services/trusted/seis/waveform")


async def test_a_service_whose_versions_are_all_revoked_says_so(http, gate: MemoryGate) -> None:
    submission = gate.submission()
    await gate.revoker.revoke(submission.request.digest, reason="a key was found", by="admin")
    text = await page(http, "/services/trusted/seis/waveform")
    assert "Revoked" in text and "a key was found" in text and "docker pull" not in text


async def test_scripts_and_invisible_characters_in_labels_stay_text(http, gate: MemoryGate) -> None:
    evil = description(
        XSS, description=XSS + BIDI, licence=XSS, authors=BIDI, source="javascript:alert(1)", topics=[XSS],
        inputs=[{**description()["inputs"][0], "name": XSS, "path": XSS, "mediatype": XSS, "description": BIDI}],
    )  # fmt: skip
    found = finding("SEC-001", "warn", XSS + BIDI, remediation=XSS, references=["javascript:alert(1)", XSS])
    submission = gate.submission(service=evil, reasons=(XSS,), findings=[found])
    for path in ("/", "/services/trusted/seis/waveform", f"/submissions/{submission.id}", f"/?q={XSS}"):
        text = await page(http, path)
        assert not re.search(r"<(script|img)", text)
        assert not set("\u202e\u2066\u200b\x1b") & set(text)
        assert 'href="javascript' not in text
        assert "&lt;script&gt;" in text


async def test_a_submission_page_explains_itself_to_whom_it_concerns(http, gate: MemoryGate, basic) -> None:
    found = [
        finding("USR-001", "deny", "the image runs as root"),
        finding("USR-001", "deny", "the image runs as root on arm64"),
        finding("LBL-021", "warn", "unknown label", remediation="Correct the key."),
    ]
    hidden = gate.submission("x", State.DENIED, reasons=("USR-001 denies: runs as root",), findings=found)
    path = f"/submissions/{hidden.id}"
    assert "Sign in to look" in await page(http, path, 404)
    assert await page(http, path, 404) == await page(http, "/submissions/nothing", 404)
    async with http.get(f"{path}?sign-in") as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    await page(http, path, 404, **basic("mallory", "gefa_mallory"))
    text = await page(http, path, **basic("ada", "gefr_ada"))
    assert "runs as root" in text and "Correct the key." in text and "Denied" in text
    assert text.count("Add a USER instruction") == 1, "one remedy for one check is said once"


async def test_a_waiting_page_tells_reviewers_what_to_type(http, gate: MemoryGate, basic) -> None:
    waiting = gate.submission("x", State.WAITING)
    gate.records.given[waiting.id] = [Review("admin", Opinion.APPROVE, "fine by me", START)]
    text = await page(http, f"/submissions/{waiting.id}", **basic("rita", "gefa_rita"))
    assert f"gef-registry review approve {waiting.id}" in text and "fine by me" in text
    gate.records.put(replace(waiting, state=State.ADMITTED))
    text = await page(http, f"/submissions/{waiting.id}")
    assert "fine by me" not in text and "ada" not in re.sub(r"<[^>]*>", "", text).split()


async def test_an_unreadable_report_does_not_hide_the_submission(http, gate: MemoryGate) -> None:
    submission = gate.submission()
    gate.records.reports[submission.report_digest] = b"{broken"
    assert "Admitted" in await page(http, f"/submissions/{submission.id}")
    assert arrange({"findings": [1, {"action": []}], "checks": "x", "tools": [None]}).sections == ()


async def test_the_log_page_shows_origin_size_and_fingerprint(http, gate: MemoryGate) -> None:
    gate.submission()
    text = await page(http, "/log")
    assert gate.log.signer.fingerprint in text and "registry.example.org" in text
    assert "Trial" not in text


async def test_a_trial_says_that_it_is_one(gate: MemoryGate) -> None:
    from gef_registry.web.ui.rendering import Pages

    text = Pages(replace(gate.origin, name="localhost", trial=True)).problem(404, "x", None).text
    assert "Trial." in text


ADDRESSES = [
    ("GET", "/", 200),
    ("GET", "/nowhere", 404),
    ("GET", "/static/style.css", 200),
    ("GET", "/log", 200),
    ("GET", "/log/checkpoint", 200),
    ("GET", "/api/v1/services", 200),
    ("GET", "/api/v1/nowhere", 404),
    ("GET", "/api/v1/whoami", 401),
    ("DELETE", "/api/v1/services", 405),
    ("OPTIONS", "/api/v1/submissions", 405),
    ("POST", "/", 405),
    ("GET", "/token", 200),
    ("GET", "/healthz", 200),
    ("GET", "/metrics", 200),
    ("GET", "/v2/", 401),
    ("GET", "/v2/trusted/a/b/manifests/1", 404),
    ("POST", "/hooks/x", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ADDRESSES)
async def test_every_answer_carries_the_security_headers(http, method: str, path: str, status: int) -> None:
    async with http.request(method, path) as answer:
        assert answer.status == status
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Strict-Transport-Security"]
        assert answer.headers["X-Request-Id"]
        assert "Set-Cookie" not in answer.headers and "Server" not in answer.headers
        if path not in ("/", "/nowhere", "/log", "/static/style.css") and "v2" not in path:
            assert answer.content_type != "text/html"


async def test_pages_need_nothing_from_elsewhere(http, gate: MemoryGate) -> None:
    gate.submission()
    for path in ("/", "/services/trusted/seis/waveform", "/log"):
        text = await page(http, path)
        assert "<script" not in text and " style=" not in text and " onclick" not in text
        assert re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', text) == re.findall(r'href="(/static/[^"]+)"', text)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"digest=x", 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"{}", 415),
        ({"Content-Type": "application/json"}, b" " * (64 * 1024 + 1), 413),
        ({"Content-Type": "application/json"}, b"[]", 400),
        ({"Content-Type": "application/json"}, b'{"digest":"a","digest":"b"}', 400),
        ({"Content-Type": "application/json"}, b"[" * 5000, 400),
        ({"Content-Type": "application/json"}, b"\xff", 400),
    ],
)
async def test_bodies_are_bounded_and_of_one_kind(http, headers: dict[str, str], body: bytes, status: int) -> None:
    async with http.post(
        "/api/v1/revocations", data=body, headers={**headers, "Authorization": "Bearer gefa_admin"}
    ) as answer:
        assert answer.status == status
        assert (await answer.json())["error"]["kind"]


async def test_a_body_without_a_length_is_bounded_too(http) -> None:
    async def endless():
        for _ in range(200):
            yield b" " * 1024

    headers = {"Content-Type": "application/json", "Authorization": "Bearer gefa_admin"}
    try:
        async with http.post("/api/v1/revocations", data=endless(), headers=headers) as answer:
            assert answer.status == 413
    except aiohttp.ClientConnectionError:
        pass  # the gate hung up while we were still sending


async def test_a_body_that_never_comes_is_given_up(http, base: str, monkeypatch) -> None:
    from gef_registry.web import bodies

    monkeypatch.setattr(bodies.read_body, "__kwdefaults__", {"timeout_s": 0.05})
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/v1/revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer gefa_admin\r\n"
        b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )
    assert b" 408 " in await reader.readline()
    writer.close()


async def test_no_secret_reaches_the_access_log(http, caplog) -> None:
    caplog.set_level("INFO")
    async with http.get(
        "/api/v1/whoami?token=gefa_query", headers={"Authorization": "Bearer gefa_wrongsecret"}
    ) as answer:
        assert answer.status == 401
        assert "wrongsecret" not in await answer.text()
    async with http.get("/no%1b%5b31mwhere") as answer:
        assert answer.status == 404
    assert "/api/v1/whoami" in caplog.text
    assert "gefa_" not in caplog.text and "\x1b" not in caplog.text


async def test_several_authorization_headers_are_refused(http) -> None:
    headers = [("Authorization", "Bearer gefa_ada"), ("Authorization", "Bearer gefa_admin")]
    async with http.get("/api/v1/whoami", headers=headers) as answer:
        assert answer.status == 401


def test_plain_keeps_writing_systems_and_drops_tricks() -> None:
    assert plain("Straße · 地震 · زلزله · é") == "Straße · 地震 · زلزله · é"
    assert plain("a\nb\tc\x00d\u202ee\u2028f") == "a b cdef"
