"""The API over real HTTP: what everybody sees, what only some see, and what is refused."""

from __future__ import annotations

import asyncio

import jsonschema
import pytest

from gef_registry.admission.states import State
from gef_registry.web.app import build_app
from gef_registry.web.endpoints import ENDPOINTS, SCHEMAS
from gef_registry.web.openapi import openapi_document
from tests.fakes.gate_ports import AUTHOR, MemoryGate, description, digest_of, finding

HIDDEN = [s for s in State if s is not State.ADMITTED]


def check(name: str, document: object) -> None:
    """Against the schema that the API publishes."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(schema).validate(document)


async def get(http, path: str, name: str | None = None, status: int = 200):
    headers = {"Authorization": f"Bearer gefa_{name}"} if name else {}
    async with http.get(path, headers=headers) as answer:
        document = await answer.json()
        assert answer.status == status, document
        return document


async def post(http, path: str, name: str | None, document: object, status: int = 201):
    headers = {"Authorization": f"Bearer gefa_{name}"} if name else {}
    async with http.post(path, headers=headers, json=document) as answer:
        answered = await answer.json()
        assert answer.status == status, answered
        return answered


async def test_anonymous_sees_admitted_services_with_the_highest_version_first(http, gate: MemoryGate) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc.1"):
        gate.submission(version, tag=version)
    gate.submission("denied", State.DENIED, tag="2.0.0")
    gate.submission("lonely", repository="trusted/climate/cdo", service=description("CDO", "3"), tag="3")
    document = await get(http, "/api/v1/services")
    check("Services", document)
    assert [s["repository"] for s in document["services"]] == ["trusted/climate/cdo", "trusted/seis/waveform"]
    waveform = document["services"][1]
    assert (waveform["version"], waveform["digest"]) == ("1.10.0", str(digest_of("1.10.0")))
    assert [v["tag"] for v in waveform["versions"]] == ["1.10.0", "1.10.0-rc.1", "1.9.0"]
    one = await get(http, "/api/v1/services/trusted/seis/waveform")
    check("Service", one)
    assert [v["version"] for v in one["versions"]] == ["1.10.0", "1.10.0-rc.1", "1.9.0"]
    assert one["versions"][0]["service"]["outputs"][0]["path"] == "/output"


async def test_services_are_searched_and_paged(http, gate: MemoryGate) -> None:
    for name in "abc":
        gate.submission(name, repository=f"trusted/seis/{name}", service=description(f"Tool {name}"))
    assert (await get(http, "/api/v1/services?q=TOOL+b"))["total"] == 1
    assert (await get(http, "/api/v1/services?q=topic_3855"))["total"] == 3
    first = await get(http, "/api/v1/services?limit=2")
    assert [s["repository"][-1] for s in first["services"]] == ["a", "b"]
    rest = await get(http, f"/api/v1/services?limit=2&after={first['next']}")
    assert ([s["repository"][-1] for s in rest["services"]], rest["next"]) == (["c"], None)
    for bad in ("limit=0", "limit=501", "limit=x", "limit=²", f"q={'x' * 201}"):
        await get(http, f"/api/v1/services?{bad}", status=400)


async def test_a_revoked_version_leaves_the_list_at_once_and_stays_on_record(http, gate: MemoryGate) -> None:
    gate.submission("one", tag="1.0.0")
    gate.submission("two", tag="2.0.0")
    await get(http, "/api/v1/services")
    revocation = {"digest": str(digest_of("two")), "reason": "a key was found in it"}
    check("Revocation", await post(http, "/api/v1/revocations", "rita", revocation))
    assert (await get(http, "/api/v1/services"))["services"][0]["version"] == "1.0.0"
    one = await get(http, "/api/v1/services/trusted/seis/waveform")
    check("Service", one)
    assert [(r["tag"], r["reason"]) for r in one["revoked"]] == [("2.0.0", "a key was found in it")]
    check("Revocations", await get(http, "/api/v1/revocations"))
    assert ("rita", "revoke", str(digest_of("two"))) in gate.diary.lines


async def test_a_candidate_revoked_on_its_way_is_never_shown(http, gate: MemoryGate) -> None:
    gate.submission("one", tag="1.0.0")
    gate.submission("never", State.REVOKED, tag="9.9.9")
    assert (await get(http, "/api/v1/services/trusted/seis/waveform"))["revoked"] == []


@pytest.mark.parametrize("state", HIDDEN)
async def test_what_is_not_admitted_exists_for_its_author_and_reviewers_only(
    http, gate: MemoryGate, state: State
) -> None:
    hidden = gate.submission("hidden", state, reasons=("the reason",))
    unknown = await get(http, "/api/v1/submissions/s9999", status=404)
    for name in (None, "mallory", "omar"):
        refused = await get(http, f"/api/v1/submissions/{hidden.id}", name, 404)
        assert refused["error"]["message"] == unknown["error"]["message"]
        await get(http, f"/api/v1/reports/{hidden.report_digest}", name, 404)
    for name in ("ada", "rita", "admin"):
        seen = await get(http, f"/api/v1/submissions/{hidden.id}", name)
        check("Submission", seen)
        assert (seen["account"], seen["reasons"]) == ("ada", ["the reason"])
        await get(http, f"/api/v1/reports/{hidden.report_digest}", name)
    await get(http, "/api/v1/services/trusted/seis/waveform", status=404)


async def test_an_admitted_submission_is_public_without_the_names_of_people(http, gate: MemoryGate) -> None:
    submission = gate.submission()
    seen = await get(http, f"/api/v1/submissions/{submission.id}")
    check("Submission", seen)
    assert not {"account", "held_in", "source"} & seen.keys()
    assert "ada" not in str(seen)
    report = await get(http, f"/api/v1/reports/{submission.report_digest}")
    assert report["verdict"]["decision"] == "admit"


async def test_a_report_is_served_as_the_exact_bytes_of_its_digest(http, gate: MemoryGate) -> None:
    submission = gate.submission()
    async with http.get(f"/api/v1/reports/{submission.report_digest}") as answer:
        submission.report_digest.require(await answer.read(), "report")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_lists_hold_ones_own_and_what_one_reviews(http, gate: MemoryGate) -> None:
    gate.submission("a", State.WAITING)
    gate.submission("b", State.DENIED, tag="2")
    gate.submission("c", State.WAITING, repository="trusted/other/x", account="mallory")
    gate.submission("d", State.WAITING, account="rita", tag="3")

    async def ids(name: str, query: str = "") -> list[str]:
        document = await get(http, f"/api/v1/submissions{query}", name)
        check("Submissions", document)
        return [s["id"] for s in document["submissions"]]

    assert await ids("ada") == ["s0002", "s0001"]
    assert await ids("rita") == ["s0004", "s0002", "s0001"]
    assert await ids("rita", "?state=waiting&reviewable=true") == ["s0001"]
    assert await ids("admin", "?state=waiting,denied&limit=3") == ["s0004", "s0003", "s0002"]
    assert await ids("admin", "?repository=trusted/other/x") == ["s0003"]
    await get(http, "/api/v1/submissions?state=great", "ada", 400)
    await get(http, "/api/v1/submissions", None, 401)


async def test_an_author_submits_and_nobody_else_into_that_community(http, gate: MemoryGate) -> None:
    wanted = {"image": "registry.example.org/tool:1", "name": "trusted/seis/tool", "tag": "1.0.0"}
    for name in ("mallory", "rita"):
        await post(http, "/api/v1/submissions", name, wanted, 403)
    await post(http, "/api/v1/submissions", None, wanted, 401)
    assert gate.pulled == []
    made = await post(http, "/api/v1/submissions", "ada", wanted)
    check("Submission", made)
    assert gate.pulled == [("registry.example.org/tool:1", "trusted/seis/tool:1.0.0", "ada")]
    assert made["state"] == "received"
    for change in ({"tag": "latest"}, {"tag": "adm-1"}):
        await post(http, "/api/v1/submissions", "ada", {**wanted, **change}, 403)
    for change in (
        {"name": "staging/seis/tool"},
        {"name": "x"},
        {"tag": "a b"},
        {"image": 3},
        {"image": "evil.example/x"},
    ):
        await post(http, "/api/v1/submissions", "ada", {**wanted, **change}, 400)
    await post(http, "/api/v1/submissions", "ada", {**wanted, "extra": 1}, 400)


async def test_a_full_queue_is_429_with_a_time_to_come_back(http, gate: MemoryGate) -> None:
    for number in range(3):
        image = {"image": f"registry.example.org/tool:{number}", "name": "trusted/seis/tool", "tag": f"{number}.0"}
        await post(http, "/api/v1/submissions", "ada", image)
    async with http.post(
        "/api/v1/submissions", json={**image, "tag": "9"}, headers={"Authorization": "Bearer gefa_ada"}
    ) as answer:
        assert answer.status == 429
        assert "Retry-After" in answer.headers


async def test_four_eyes_review_a_waiting_submission_once(http, gate: MemoryGate) -> None:
    waiting = gate.submission("w", State.WAITING)
    own = gate.submission("o", State.WAITING, account="rita", tag="2")
    path = f"/api/v1/submissions/{waiting.id}/reviews"
    await post(http, path, None, {"decision": "approve"}, 401)
    for name in ("mallory", "omar"):
        await post(http, path, name, {"decision": "approve"}, 404)
    await post(http, path, "ada", {"decision": "approve"}, 403)
    await post(http, f"/api/v1/submissions/{own.id}/reviews", "rita", {"decision": "approve"}, 403)
    await post(http, path, "rita", {"decision": "maybe"}, 400)
    await post(http, path, "rita", {"decision": "reject"}, 400)
    approved = await post(http, path, "rita", {"decision": "approve", "comment": "looked at it"})
    check("Submission", approved)
    assert (approved["state"], approved["reviews"][0]["reviewer"]) == ("approved", "rita")
    await post(http, path, "admin", {"decision": "approve"}, 409)
    assert ("rita", "review.approve", waiting.id) in gate.diary.lines


async def test_a_reviewer_of_one_community_cannot_end_a_service_of_another(http, gate: MemoryGate) -> None:
    gate.submission("shared", repository="trusted/other/x", account="mallory")
    gate.submission("shared", repository="trusted/seis/copy")
    gate.submission("foreign", State.WAITING, repository="trusted/other/y", account="mallory")
    wanted = {"digest": str(digest_of("shared")), "reason": "because"}
    refused = await post(http, "/api/v1/revocations", "rita", wanted, 403)
    assert "trusted/other/x" in refused["error"]["message"]
    await post(http, "/api/v1/revocations", "ada", wanted, 403)
    await post(http, "/api/v1/revocations", "rita", {**wanted, "digest": str(digest_of("foreign"))}, 404)
    await post(http, "/api/v1/revocations", "admin", {**wanted, "digest": str(digest_of("nothing"))}, 404)
    await post(http, "/api/v1/revocations", "admin", {**wanted, "reason": "  "}, 400)
    assert gate.revocations.rows == {}
    await post(http, "/api/v1/revocations", "admin", wanted)


async def test_a_revocation_that_is_not_logged_yet_is_not_told(http, gate: MemoryGate) -> None:
    submission = gate.submission()
    at = submission.created_at
    await gate.revocations.record(submission.request.digest, reason="x", by="admin", at=at, leaf=b"")
    assert (await get(http, "/api/v1/revocations"))["revocations"] == []


async def test_a_client_may_wait_for_the_decision(http, gate: MemoryGate) -> None:
    moving = gate.submission("m", State.JUDGING)
    asked = asyncio.ensure_future(get(http, f"/api/v1/submissions/{moving.id}?wait=20", "ada"))
    while moving.id not in gate.bell._waiters:
        await asyncio.sleep(0.005)
    gate.submission("m", State.DENIED)  # s0002, to make the record below
    gate.records.put(gate.records.rows["s0002"].__class__(**{
        **{f: getattr(moving, f) for f in moving.__dataclass_fields__}, "state": State.DENIED}))  # fmt: skip
    gate.bell.moved(moving.id)
    assert (await asked)["state"] == "denied"
    await get(http, f"/api/v1/submissions/{moving.id}?wait=61", "ada", 400)


async def test_whoami_and_version(http) -> None:
    me = await get(http, "/api/v1/whoami", "rita")
    check("Account", me)
    assert me["reviews"] == ["staging/seis/", "trusted/seis/"]
    version = await get(http, "/api/v1/version")
    check("Version", version)
    assert version["public_url"] == "https://gate.example.org"


async def test_the_description_names_exactly_the_routes_that_are_there(http, gate: MemoryGate) -> None:
    application = build_app(gate.ports, gate.issuer, object(), [])  # type: ignore[arg-type]
    served = {
        (route.method, route.resource.canonical)
        for route in application.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }
    document = await get(http, "/api/v1/openapi.json")
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == served
    assert document == openapi_document("https://gate.example.org")
    names = {e.answer for e in ENDPOINTS} | {e.body for e in ENDPOINTS if e.body} | {"Problem"}
    assert names <= set(document["components"]["schemas"])
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


async def test_store_failures_are_503_and_faults_of_ours_500_both_without_details(
    http, gate: MemoryGate, caplog
) -> None:
    gate.failing.fail.append("listing")
    refused = await get(http, "/api/v1/services", status=503)
    check("Problem", refused)

    async def broken(*args, **kwargs):
        raise RuntimeError("secret detail")

    gate.records.listing = broken  # type: ignore[method-assign]
    refused = await get(http, "/api/v1/services", status=500)
    check("Problem", refused)
    assert "secret detail" not in str(refused)
    assert refused["error"]["request_id"] in caplog.text
    assert "secret detail" in caplog.text


async def test_findings_never_leave_with_a_hidden_report(http, gate: MemoryGate) -> None:
    hidden = gate.submission("k", State.DENIED, findings=[finding("SEC-001", "deny", "a private key in /etc/key")])
    async with http.get(f"/api/v1/reports/{hidden.report_digest}") as answer:
        assert "private key" not in await answer.text()
    assert AUTHOR.name == "ada"
