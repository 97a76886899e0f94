"""`gef-registry review`: see what waits for a person, look at the evidence, approve or reject."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gef_registry.cli.gate import (
    FormatOption,
    GateOption,
    TokenOption,
    check_format,
    objects,
    print_json,
    print_submission,
    submission_path,
    text,
    with_gate,
)

if TYPE_CHECKING:
    from gef_registry.wiring.gate_client import GateClient

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The submission.", show_default=False)]


review = typer.Typer(name="review", no_args_is_help=True, help="Reviews of submissions that policy leaves to people.")


def register(app: typer.Typer) -> None:
    """Adds `review …`."""
    app.add_typer(review)


@review.command(name="list")
def show_waiting(gate: GateOption = None, token: TokenOption = None, format: FormatOption = "table") -> None:
    """List the submissions that wait for your review."""
    check_format(format)
    query = {"state": "waiting", "reviewable": "true"}
    document = with_gate(gate, token, lambda client: client.get("/api/v1/submissions", query))
    if format == "json":
        print_json(document)
        return
    from gef_registry.cli.tables import print_table

    rows = [
        [text(s, "id"), f"{text(s, 'repository')}:{text(s, 'tag')}", text(s, "account"), text(s, "created_at")]
        for s in objects(document, "submissions")
    ]
    print_table(["SUBMISSION", "NAME", "PUSHED BY", "SINCE"], rows)


@review.command()
def show(id: IdArgument, gate: GateOption = None, token: TokenOption = None, format: FormatOption = "table") -> None:
    """Show a submission with the findings of its report and the reviews so far."""
    check_format(format)

    async def act(client: GateClient) -> tuple[str, dict[str, Any], dict[str, Any]]:
        submission = await client.get(submission_path(id))
        digest = text(submission, "report")
        report = await client.get(f"/api/v1/reports/{digest}") if digest else {}
        return client.gate, submission, report

    address, submission, report = with_gate(gate, token, act)
    if format == "json":
        print_json({"submission": submission, "report": report})
        return
    print_submission(submission, address)
    _print_findings(report)
    _print_reviews(submission)


@review.command()
def approve(
    id: IdArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What convinced you.")] = "",
    gate: GateOption = None,
    token: TokenOption = None,
) -> None:
    """Approve a submission; the approval that completes the quorum admits it."""
    _decide(id, "approve", comment, gate, token)


@review.command()
def reject(
    id: IdArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What the author should change.", show_default=False)],
    gate: GateOption = None,
    token: TokenOption = None,
) -> None:
    """Reject a submission; one rejection is enough."""
    _decide(id, "reject", comment, gate, token)


def _decide(id: str, decision: str, comment: str, gate: str | None, token: str | None) -> None:
    async def act(client: GateClient) -> tuple[str, dict[str, Any]]:
        request = {"decision": decision, "comment": comment}
        return client.gate, await client.post(f"{submission_path(id)}/reviews", request)

    address, submission = with_gate(gate, token, act)
    print_submission(submission, address)


def _print_findings(report: dict[str, Any]) -> None:
    from gef_registry.policy.wording import plain
    from gef_registry.web.ui.findings import arrange

    for section in arrange(report).sections:
        sys.stdout.write(f"\n{section.heading}\n")
        for group in section.groups:
            for finding in group.findings:
                place = f" [{finding.place}]" if finding.place else ""
                sys.stdout.write(f"  {plain(f'{group.check} {finding.severity}: {finding.message}{place}')}\n")
            if group.remediation:
                sys.stdout.write(f"      {plain(group.remediation)}\n")


def _print_reviews(submission: dict[str, Any]) -> None:
    from gef_registry.policy.wording import plain

    for review in objects(submission, "reviews"):
        words = f"{text(review, 'decision')} by {text(review, 'reviewer')} at {text(review, 'at')}"
        comment = text(review, "comment")
        sys.stdout.write(plain(f"{'review':<11} {words}" + (f": {comment}" if comment else "")) + "\n")
