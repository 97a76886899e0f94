"""The services of 2018, as they were labelled, and what is wrong with each today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gef_registry.service.contract import parse

LABELS = Path(__file__).parents[1] / "data" / "labels"

# file -> (whether the image has a command, codes)
EXPECTED: dict[str, tuple[bool, list[str]]] = {
    "clone": (True, []),
    "nltk": (True, []),
    "stanford-parser": (True, []),
    "ENES-demo": (True, []),
    "cdo_demo": (True, []),
    "waveform-metadata-demo": (True, []),
    "wfcatalog-collector-demo": (True, ["LBL-015"]),  # no type: every job failed
    "clone_test": (True, []),
    "inputs_test": (True, []),
    "timeout_test": (True, []),
    "volume-stage-in": (True, ["LBL-005"]),
    "volume-filelist": (True, ["LBL-005"]),
    "copy-to-and-from-volume": (True, ["LBL-005"]),
    "maven-EGI": (True, ["LBL-001"]),
    "B2SHARE_access_image": (False, ["LBL-002", "LBL-002", "LBL-005", "LBL-006", "LBL-025"]),
}


def test_the_table_names_every_label_set() -> None:
    assert {path.stem for path in LABELS.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_service_of_2018_gets_exactly_its_findings(name: str) -> None:
    has_command, codes = EXPECTED[name]
    parsed = parse(json.loads((LABELS / f"{name}.json").read_text()), has_command=has_command)
    assert [problem.code for problem in parsed.problems] == codes
    assert (parsed.service is None) == bool(codes)
