"""Webhooks: authenticated, stored once, hostile fields passed over."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gef_registry.errors import BadInput
from gef_registry.web.webhooks import distribution
from gef_registry.web.webhooks.events import PushEvent
from gef_registry.web.webhooks.senders import parse_delivery

DATA = Path(__file__).parents[1] / "data" / "webhooks"
SECRET = {"Authorization": "Bearer the hook's secret"}
TYPE = {"Content-Type": "application/vnd.docker.distribution.events.v2+json"}


def captured(name: str) -> bytes:
    return (DATA / f"distribution-{name}.json").read_bytes()


def parse(body: bytes) -> distribution.Envelope:
    return distribution.parse(body, max_bytes=1 << 20)


def altered(**target: object) -> bytes:
    document = json.loads(captured("3.1-push"))
    document["events"][0]["target"] |= target
    return json.dumps(document).encode()


@pytest.mark.parametrize(("name", "repository"), [("2.8-push", "staging/app"), ("3.1-push", "trusted/app")])
def test_a_captured_push_of_a_manifest_is_read(name: str, repository: str) -> None:
    envelope = parse(captured(name))
    (push,) = envelope.pushes
    assert (push.repository, push.tag, envelope.unreadable) == (repository, "1.0", ())
    assert parse_delivery("distribution", push.body) == [push]
    assert b"http" not in push.body.replace(b"https", b"http").replace(b"application/vnd", b"")


@pytest.mark.parametrize("name", ["2.8-mount", "2.8-push-blob", "3.1-delete-digest", "3.1-delete-tag"])
def test_other_captured_events_are_passed_over_in_silence(name: str) -> None:
    assert parse(captured(name)) == distribution.Envelope((), ())


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "../../etc"},
        {"repository": "staging/UPPER"},
        {"repository": None},
        {"digest": "sha256:short"},
        {"digest": 7},
        {"tag": "a b"},
        {"tag": ["1.0"]},
        {"tag": "x" * 129},
    ],
)
def test_a_hostile_field_costs_that_event_only(change: dict[str, object]) -> None:
    envelope = parse(altered(**change))
    assert envelope.pushes == ()
    assert len(envelope.unreadable) == 1


def test_a_tag_that_is_the_digest_is_no_tag() -> None:
    digest = json.loads(captured("3.1-push"))["events"][0]["target"]["digest"]
    assert parse(altered(tag=digest)).pushes[0].tag is None
    assert parse(altered(tag="")).pushes[0].tag is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"events":{}}', b'{"events":[],"events":[]}', b'{"events":' + b"[" * 99]
)
def test_what_is_no_envelope_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput):
        parse(body)


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_stored_deliveries_are_read_strictly(body: bytes) -> None:
    try:
        (event,) = parse_delivery("distribution", body)
    except BadInput:
        return
    assert PushEvent.parse(event.body) == event


async def test_a_delivery_is_stored_before_the_answer_and_once(http, gate) -> None:
    for new in (1, 0, 0):
        async with http.post("/hooks/distribution", data=captured("3.1-push"), headers={**SECRET, **TYPE}) as answer:
            assert answer.status == 200
            assert await answer.json() == {"pushes": 1, "new": new, "unreadable": 0}
    ((sender, event),) = gate.deliveries.kept
    assert (sender, event) == ("distribution", "01a2030b-1779-79b0-a152-913d4abbd989")


async def test_a_delivery_that_cannot_be_stored_is_not_acknowledged(http, gate) -> None:
    gate.failing.fail.append("keep")
    async with http.post("/hooks/distribution", data=captured("3.1-push"), headers={**SECRET, **TYPE}) as answer:
        assert answer.status == 503


@pytest.mark.parametrize("given", [None, "", "Bearer wrong", "the hook's secre", "Basic the hook's secret", "Bearer é"])
async def test_a_wrong_secret_is_401(http, gate, given: str | None) -> None:
    headers = {**TYPE, **({"Authorization": given} if given is not None else {})}
    async with http.post("/hooks/distribution", data=captured("3.1-push"), headers=headers) as answer:
        assert answer.status == 401
    assert gate.deliveries.kept == {}


async def test_the_secret_may_be_the_whole_header(http) -> None:
    headers = {**TYPE, "Authorization": "the hook's secret"}
    async with http.post("/hooks/distribution", data=captured("2.8-push"), headers=headers) as answer:
        assert answer.status == 200


async def test_unknown_senders_wrong_types_and_large_bodies_are_refused(http, gate) -> None:
    async with http.post("/hooks/harbor", data=b"{}", headers={**SECRET, **TYPE}) as answer:
        assert answer.status == 404
    async with http.post("/hooks/distribution", data=b"x", headers={**SECRET, "Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    async with http.post(
        "/hooks/distribution", data=BytesIO(bytes((1 << 20) + 1)), headers={**SECRET, **TYPE}
    ) as answer:
        assert answer.status == 413
    async with http.post("/hooks/distribution", data=b"{}", headers={**SECRET, **TYPE}) as answer:
        assert answer.status == 400


async def test_without_a_configured_secret_nothing_is_taken(gate) -> None:
    from gef_registry.errors import Denied
    from gef_registry.web.routes_hooks import HookRoutes

    for secrets in ({}, {"distribution": ""}):
        with pytest.raises(Denied):
            HookRoutes(gate.deliveries, secrets)._require_secret("distribution", "")
