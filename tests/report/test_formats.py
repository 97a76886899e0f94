"""Reports as people and programs read them."""

from __future__ import annotations

import dataclasses
import json
import re

import jsonschema
import pytest

from gef_registry.errors import BadInput
from gef_registry.report.format import Layout
from gef_registry.report.formats import FORMATS, format_named
from gef_registry.report.json import as_document, render
from gef_registry.report.table import render as render_table
from gef_registry.resources import read_resource

SCHEMA = json.loads(read_resource("schemas", "report.schema.json"))


def test_the_json_report_fits_its_schema(report):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(render(report)), SCHEMA)


def test_the_json_report_has_exactly_the_promised_fields(report):
    document = as_document(report)
    assert list(document) == [
        "schema_version", "subject", "verdict", "policy", "evaluated_at", "checks", "findings", "tools", "timings",
    ]  # fmt: skip
    assert list(document["findings"][0]) == [
        "check", "severity", "action", "message", "location", "remediation", "references", "fingerprint", "waiver",
    ]  # fmt: skip
    assert {"platform", "layer", "path"} <= document["findings"][0]["location"].keys()


def test_what_was_skipped_is_said(report):
    assert report.skipped == ("vulnerabilities",)
    assert {"id": "vulnerabilities", "outcome": "skipped"} in as_document(report)["checks"]


def test_P7_reports_of_one_judgement_differ_in_timings_alone(report):
    later = dataclasses.replace(report, timings={"gather": 9.0})
    assert render(report) != render(later)
    assert render(report.without_timings()) == render(later.without_timings())


def test_the_json_report_is_plain_ascii(report):
    assert re.fullmatch(rb"[\n\x20-\x7e]*", render(report))


def test_the_table_shows_every_finding_once_with_its_place_and_the_way_out(report):
    text = render_table(report, Layout(width=160)).decode()
    assert text.splitlines()[0] == " DENY  oci:/tmp/x"
    assert "CRITICAL (2)" in text
    assert text.index("CRITICAL") < text.index("MEDIUM")
    assert text.count("SEC-001 deny a private key lies in a layer") == 1
    assert "deleted by a later layer, still in the image · layer sha256:abababababab · linux/arm64" in text
    assert text.count("→ Build again without it and revoke the key.") == 1
    assert "(waiver W-1)" in text
    assert "line 7" in text
    assert "CFG-001" not in text
    assert "1 fail, 1 pass, 1 skipped" in text


def test_the_table_lets_no_image_text_steer_the_terminal(report):
    text = render_table(report, Layout(width=200)).decode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "id\\x1b[2J_rsa" in text
    assert "[bold]no \\u{202e}markup[/bold]" in text


def test_colours_come_only_when_asked_for(report):
    assert b"\x1b[" in render_table(report, Layout(colour=True))
    assert b"\x1b[" not in render_table(report, Layout(colour=False))


@pytest.mark.parametrize("width", [40, 80, 132])
def test_the_table_keeps_to_the_width(report, width):
    lines = render_table(report, Layout(width=width)).decode().splitlines()
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("known", FORMATS, ids=lambda f: f.name)
def test_every_format_writes_the_same_bytes_for_the_same_report(known, report):
    assert known.render(report) == known.render(report)
    assert format_named(known.name) is known


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(BadInput, match="table, json"):
        format_named("pdf")
