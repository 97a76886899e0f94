"""A report's findings, arranged for reading: what decides first, the same advice said once. Pure; the report is our own,
yet nothing in it is taken for granted, since most of its words come from an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACTIONS = ("deny", "review", "warn", "info")
HEADINGS = {
    "deny": "Refused because of this",
    "review": "A reviewer must look at this",
    "warn": "Warnings",
    "info": "Notes",
}
MAX_SHOWN = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check."""

    severity: str
    message: str
    place: str
    waiver: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one check with one remediation."""

    check: str
    remediation: str
    references: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What a policy makes of some findings."""

    action: str
    heading: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Arranged:
    """`outcomes` counts checks by outcome; `left_out` findings were beyond what a page shows."""

    sections: tuple[Section, ...]
    outcomes: tuple[tuple[str, int], ...]
    unestablished: tuple[tuple[str, str], ...]
    tools: tuple[str, ...]
    left_out: int


def arrange(report: Mapping[str, Any]) -> Arranged:
    findings = [f for f in _objects(report.get("findings")) if f.get("action") in ACTIONS]
    shown = sorted(findings, key=lambda f: (ACTIONS.index(f["action"]), _text(f, "check")))[:MAX_SHOWN]
    checks = _objects(report.get("checks"))
    outcomes: dict[str, int] = {}
    for check in checks:
        outcomes[_text(check, "outcome")] = outcomes.get(_text(check, "outcome"), 0) + 1
    return Arranged(
        tuple(_section(action, [f for f in shown if f["action"] == action]) for action in ACTIONS
              if any(f["action"] == action for f in shown)),
        tuple(sorted(outcomes.items())),
        tuple((_text(c, "id"), _text(c, "outcome")) for c in checks if c.get("outcome") in ("error", "unknown", "skipped")),
        tuple(_tool(tool) for tool in _objects(report.get("tools"))),
        len(findings) - len(shown),
    )  # fmt: skip


def _section(action: str, findings: list[dict[str, Any]]) -> Section:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for finding in findings:
        groups.setdefault((_text(finding, "check"), _text(finding, "remediation")), []).append(finding)
    return Section(
        action,
        HEADINGS[action],
        tuple(
            Group(check, remediation, _references(members), tuple(_finding(member) for member in members))
            for (check, remediation), members in groups.items()
        ),
    )


def _finding(finding: dict[str, Any]) -> Finding:
    location = finding.get("location")
    place = location if isinstance(location, dict) else {}
    words = [str(place[key]) for key in ("platform", "path") if place.get(key)]
    if place.get("visibility") in ("deleted", "overwritten"):
        words.append(f"{place['visibility']} by a later layer, still in the image")
    waiver = finding.get("waiver")
    return Finding(
        _text(finding, "severity"),
        _text(finding, "message"),
        " · ".join(words),
        waiver if isinstance(waiver, str) else None,
    )


def _references(findings: list[dict[str, Any]]) -> tuple[str, ...]:
    found = [r for f in findings for r in (f.get("references") or ()) if isinstance(r, str)]
    return tuple(dict.fromkeys(found))[:10]


def _tool(tool: dict[str, Any]) -> str:
    database = _text(tool, "database")
    return f"{_text(tool, 'name')} {_text(tool, 'version')}" + (f", database {database}" if database else "")


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""
