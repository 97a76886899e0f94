"""What errors become on the wire."""

from __future__ import annotations

import json

import pytest

from gef_registry.distribution.answers import refusal_to_push
from gef_registry.distribution.codes import STATUS, Code, Refusal, refusal_of
from gef_registry.distribution.ports import PushAnswer
from gef_registry.errors import BadInput, Conflict, Denied, GefError, NotFound, Unavailable, VerificationFailed


def test_every_code_has_a_status_and_none_is_one_that_clients_misread() -> None:
    assert set(STATUS) == set(Code)
    assert not {"UNKNOWN", "BLOB_UPLOAD_INVALID", "TAG_INVALID"} & set(Code)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadInput("x"), 400, "NAME_INVALID"),
        (NotFound("x"), 404, "NAME_UNKNOWN"),
        (Conflict("x"), 409, "DENIED"),
        (Denied("x"), 403, "DENIED"),
        (Unavailable("x"), 503, "UNAVAILABLE"),
        (VerificationFailed("x"), 500, "MANIFEST_UNVERIFIED"),
        (GefError("x"), 500, "UNAVAILABLE"),
    ],
)
def test_each_family_of_errors_has_its_answer(error: GefError, status: int, code: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.status, refusal.code) == (status, code)


def test_the_body_is_one_error_object_with_a_detail_that_is_a_string_or_absent() -> None:
    without = json.loads(Refusal(Code.DENIED, "no").body)
    assert without == {"errors": [{"code": "DENIED", "message": "no"}]}
    with_detail = json.loads(Refusal(Code.DENIED, "no", detail="https://gate/report/1").body)
    assert with_detail == {"errors": [{"code": "DENIED", "message": "no", "detail": "https://gate/report/1"}]}


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        (403, 403, "DENIED"),
        (409, 409, "DENIED"),
        (429, 429, "TOOMANYREQUESTS"),
        (202, 403, "DENIED"),
        (400, 403, "DENIED"),
    ],
)
def test_a_refused_push_is_403_or_409_denied_whatever_the_gate_says(given: int, status: int, code: str) -> None:
    refusal = refusal_to_push(PushAnswer(given, "reasons", "https://gate/report/1"))
    assert (refusal.status, refusal.code, refusal.message) == (status, code, "reasons")
