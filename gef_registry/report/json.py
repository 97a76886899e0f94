"""The report as JSON, for programs: `schemas/report.schema.json`, version 1.0.

Only ASCII is written, so that no text of an image can steer a terminal or a log viewer. The same image, policy,
scanner database and moment give the same bytes, apart from `timings`.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from gef_registry.checks.model import Location
from gef_registry.policy.verdict import JudgedFinding
from gef_registry.report.format import Layout
from gef_registry.report.model import SCHEMA_VERSION, Report, Tool


def render(report: Report, layout: Layout | None = None) -> bytes:
    """The document, indented by two spaces, with a newline at its end. `layout` changes nothing."""
    text = json.dumps(as_document(report), indent=2, ensure_ascii=True, allow_nan=False)
    return text.replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def as_document(report: Report) -> dict[str, Any]:
    """The report as JSON values, keys in the order of the schema."""
    return {
        "schema_version": SCHEMA_VERSION,
        "subject": {
            "reference": report.subject.reference,
            "digest": str(report.subject.digest),
            "media_type": report.subject.media_type,
            "platforms": list(report.subject.platforms),
        },
        "verdict": {"decision": report.decision.value, "reasons": list(report.reasons)},
        "policy": {"name": report.policy_name, "digest": str(report.policy_digest)},
        "evaluated_at": timestamp(report.evaluated_at),
        "checks": [{"id": line.id, "outcome": line.outcome} for line in report.checks],
        "findings": [_finding(judged) for judged in report.findings],
        "tools": [_tool(tool) for tool in report.tools],
        "timings": {name: round(seconds, 6) for name, seconds in report.timings.items()},
    }


def timestamp(moment: datetime.datetime) -> str:
    """RFC 3339 in UTC, to the microsecond where there are any: `2026-11-22T10:00:00Z`."""
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _finding(judged: JudgedFinding) -> dict[str, Any]:
    finding = judged.finding
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "action": judged.action.value,
        "message": finding.message,
        "location": _location(finding.location),
        "remediation": finding.remediation,
        "references": list(finding.references),
        "fingerprint": finding.fingerprint,
        "waiver": judged.waiver,
    }


def _location(location: Location) -> dict[str, Any]:
    """Platform, layer and path always; what later layers did and a line only where they are known."""
    document: dict[str, Any] = {"platform": location.platform, "layer": location.layer, "path": location.path}
    if location.visibility is not None:
        document["visibility"] = location.visibility.value
    if location.line is not None:
        document["line"] = location.line
    return document


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "version": tool.version, "database": tool.database}
