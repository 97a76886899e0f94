"""The description of a service is a valid document of its schema, and a schema that would accept less is no schema."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from gef_registry.resources import read_resource
from gef_registry.service.contract import parse
from gef_registry.service.describe import describe
from gef_registry.service.model import InputPort, OutputPort, Resources, SelfTest, Service

LABELS = Path(__file__).parents[1] / "data" / "labels"
FULL = Service(
    "N", "D", "1.0.0-rc.1", (InputPort(1, "I", "/in", "string", "a.txt", True, "text/plain", "x"), InputPort(2, "J", "/j", "url")),
    (OutputPort(1, "O", "/out", "application/json", "y"),), ("http://edamontology.org/topic_3070",), "outbound",
    Resources(0.5, 1024, 0), (SelfTest(1, ((1, "v"), (2, "w")), ((1, "0" * 64),)),), "MIT", "A", "https://a.org", "https://b.org",
)  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(read_resource("schemas", "service.schema.json"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_a_full_description_is_valid_and_survives_json(validator: Draft202012Validator) -> None:
    document = describe(FULL)
    validator.validate(document)
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("path", sorted(LABELS.glob("*.json")), ids=lambda path: path.stem)
def test_every_service_of_2018_that_parses_has_a_valid_description(validator: Draft202012Validator, path: Path) -> None:
    service = parse(json.loads(path.read_text()), has_command=True).service
    if service is None:
        assert path.stem in {"wfcatalog-collector-demo", "volume-stage-in", "volume-filelist", "copy-to-and-from-volume",
                             "maven-EGI", "B2SHARE_access_image"}  # fmt: skip
    else:
        validator.validate(describe(service))


@pytest.mark.parametrize("where, value", [
    (("version",), "v1"), (("outputs",), []), (("network",), "host"), (("inputs", 0, "path"), "relative"), (("inputs", 0, "filename"), None),
    (("inputs", 1, "filename"), "x"), (("inputs", 0, "number"), 100), (("tests", 0, "outputs", 0, "sha256"), "A" * 64),
    (("source",), "javascript:x"), (("surprise",), 1), (("name",), ""), (("topics",), ["x"])])
def test_the_schema_refuses_what_the_contract_refuses(validator: Draft202012Validator, where: tuple, value: object) -> None:
    document = copy.deepcopy(describe(FULL))
    place = document
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    assert not validator.is_valid(document)
