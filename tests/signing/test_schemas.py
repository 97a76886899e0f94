"""The published schemas say what the readers take."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gef_registry.resources import read_resource
from gef_registry.signing import dsse
from gef_registry.signing.statement import EXTENSION, admission_statement
from tests.fakes.signer import NOW, Signer, admission, digest

SIGNER = Signer()
DOCUMENTS: dict[str, Any] = {
    "admission": json.loads(
        admission_statement(admission(expires_at=NOW, supersedes_revocation=3, child_digests=(digest("child"),)))
    ),
    "revocation": json.loads(SIGNER.revocation(digest("image")).leaf),
    "keyset": json.loads(dsse.parse_envelope(SIGNER.keyset_raw).payload),
}


def _validator(name: str) -> Draft202012Validator:
    schema = json.loads(read_resource("schemas", f"{name}.schema.json"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_signed_fits_its_schema(name: str) -> None:
    _validator(name).validate(DOCUMENTS[name])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_demands_every_member_and_no_other(name: str) -> None:
    validator = _validator(name)
    assert not validator.is_valid({**DOCUMENTS[name], "more": 1})
    for member in DOCUMENTS[name]:
        assert not validator.is_valid({key: value for key, value in DOCUMENTS[name].items() if key != member})


def test_the_admission_schema_knows_exactly_the_members_that_are_stated() -> None:
    schema = json.loads(read_resource("schemas", "admission.schema.json"))
    stated = set(DOCUMENTS["admission"]["predicate"])
    assert set(schema["properties"]["predicate"]["properties"]) == stated
    optional = stated - set(schema["properties"]["predicate"]["required"])
    assert optional == {EXTENSION + name for name in ("platform", "expires", "supersedesRevocation")}
