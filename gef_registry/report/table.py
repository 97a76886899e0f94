"""The report for a person at a terminal: the verdict, its reasons, then findings by severity and check with the way out.

All text that comes from an image is made plain first: escapes instead of control and bidirectional characters. Without
colours nothing is lost: severity and action are words.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from gef_registry.checks.model import Finding, Location, Severity
from gef_registry.policy.verdict import Action, Decision, JudgedFinding
from gef_registry.policy.wording import plain
from gef_registry.report.format import Layout
from gef_registry.report.json import timestamp
from gef_registry.report.model import Report

MAX_PLACES = 5
_DECISION = {
    Decision.ADMIT: ("ADMIT", "bold white on green"),
    Decision.REVIEW: ("REVIEW", "bold black on yellow"),
    Decision.DENY: ("DENY", "bold white on red"),
    Decision.UNDECIDED: ("UNDECIDED", "bold white on magenta"),
}
_SEVERITY = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFO: "dim",
}
_ACTION = {
    Action.DENY: "bold red",
    Action.REVIEW: "bold yellow",
    Action.WARN: "yellow",
    Action.INFO: "dim",
    Action.OFF: "dim",
}


def render(report: Report, layout: Layout | None = None) -> bytes:
    """The table as UTF-8 text, at most `layout.width` columns wide, with ANSI colours if the layout has them."""
    layout = layout or Layout()
    out = io.StringIO()
    console = Console(
        file=out, width=max(40, layout.width), force_terminal=layout.colour, no_color=not layout.colour,
        color_system="standard" if layout.colour else None, highlight=False, markup=False, emoji=False,
        legacy_windows=False, _environ={},
    )  # fmt: skip
    _print_head(console, report)
    _print_findings(console, [judged for judged in report.findings if judged.action is not Action.OFF])
    _print_foot(console, report)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines()).encode("utf-8", "backslashreplace")


def _print_head(console: Console, report: Report) -> None:
    word, style = _DECISION[report.decision]
    console.print(Text.assemble((f" {word} ", style), " ", (plain(report.subject.reference), "bold")))
    facts = filter(None, (str(report.subject.digest), ", ".join(map(plain, report.subject.platforms))))
    console.print(Text(" · ".join(facts), style="dim"))
    for reason in report.reasons:
        console.print(_indented(Text("• " + plain(reason)), 2))


def _print_findings(console: Console, findings: Sequence[JudgedFinding]) -> None:
    by_severity = sorted(findings, key=lambda judged: judged.finding.severity.rank)
    for severity, group in itertools.groupby(by_severity, key=lambda judged: judged.finding.severity):
        same = list(group)
        console.print()
        title = Text(f"{severity.value.upper()} ({len(same)})", style=_SEVERITY[severity])
        console.print(Rule(title, align="left", characters="─", style="dim"))
        for check, of_check in itertools.groupby(same, key=lambda judged: judged.finding.check):
            _print_check(console, check, list(of_check))


def _print_check(console: Console, check: str, findings: Sequence[JudgedFinding]) -> None:
    """Each message once, with the places it was seen in; each way out once, after the last message it mends."""
    messages = dict.fromkeys((judged.finding.message, judged.action, judged.waiver) for judged in findings)
    for message, action, waiver in messages:
        line = Text.assemble((check, "bold"), (f" {action.value} ", _ACTION[action]), plain(message))
        if waiver is not None:
            line.append(f" (waiver {waiver})", style="italic")
        console.print(_indented(line, 2))
        same = [j.finding for j in findings if (j.finding.message, j.action, j.waiver) == (message, action, waiver)]
        for place in _places(same):
            console.print(_indented(Text(place, style="dim"), 6))
    for remediation in dict.fromkeys(judged.finding.remediation for judged in findings):
        if remediation:
            console.print(_indented(Text("→ " + plain(remediation), style="green"), 4))
    references = dict.fromkeys(reference for judged in findings for reference in judged.finding.references)
    if references:
        console.print(_indented(Text("see " + ", ".join(map(plain, references)), style="dim"), 6))


def _places(findings: Sequence[Finding]) -> Iterator[str]:
    places = [place for place in dict.fromkeys(_place(finding.location) for finding in findings) if place]
    yield from places[:MAX_PLACES]
    if len(places) > MAX_PLACES:
        yield f"… and {len(places) - MAX_PLACES} more places, all in the JSON report"


def _place(location: Location) -> str:
    parts = []
    if location.path is not None:
        parts.append(plain(location.path if location.line is None else f"{location.path}:{location.line}", limit=300))
    elif location.line is not None:
        parts.append(f"line {location.line}")
    if location.visibility is not None and location.visibility.value != "visible":
        parts.append(f"{location.visibility.value} by a later layer, still in the image")
    if location.layer is not None:
        parts.append(f"layer {plain(location.layer)[:19]}")
    if location.platform is not None:
        parts.append(plain(location.platform))
    return " · ".join(parts)


def _print_foot(console: Console, report: Report) -> None:
    console.print()
    counts = [(line.outcome, sum(o.outcome == line.outcome for o in report.checks)) for line in report.checks]
    outcomes = ", ".join(f"{number} {outcome.replace('_', ' ')}" for outcome, number in sorted(dict(counts).items()))
    console.print(Text(f"checks: {outcomes or 'none'}", style="dim"))
    policy = f"policy: {report.policy_name} ({report.policy_digest})"
    console.print(Text(f"{policy} · evaluated at {timestamp(report.evaluated_at)}", style="dim"))


def _indented(text: Text, columns: int) -> Padding:
    return Padding(text, (0, 0, 0, columns))
