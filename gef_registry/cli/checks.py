"""`gef-registry checks list | show ID`: the catalogue, and what a policy makes of it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from gef_registry.cli.options import PolicyOption
from gef_registry.errors import BadInput

if TYPE_CHECKING:
    from gef_registry.checks.model import CheckInfo


def register(app: typer.Typer) -> None:
    checks = typer.Typer(help="The checks there are: what they look for, why, and what to do.", no_args_is_help=True)
    checks.command("list")(list_checks)
    checks.command("show")(show_check)
    app.add_typer(checks, name="checks")


def list_checks(policy: PolicyOption = None) -> None:
    """List all checks with their severity and the action a policy gives them."""
    from gef_registry.cli.tables import print_table
    from gef_registry.policy.explain import explain
    from gef_registry.settings import load_settings
    from gef_registry.wiring.policies import known_checks, load_named_policy

    chosen = load_named_policy(load_settings(flags={"client.policy": policy}).client.policy)
    rows = [
        (info.id, info.severity.value, explain(chosen, info).action, info.title) for info in known_checks().values()
    ]
    print_table(("id", "severity", f"action ({chosen.name})", "title"), rows)


def show_check(id_: Annotated[str, typer.Argument(metavar="ID", help="An id or a slug.", show_default=False)]) -> None:
    """Show one check's page."""
    from gef_registry.wiring.policies import known_checks

    known = known_checks()
    info = known.get(id_.upper()) or next((info for info in known.values() if info.slug == id_.lower()), None)
    if info is None:
        near = difflib.get_close_matches(id_.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`gef-registry checks list` shows all of them"
        raise BadInput(f"no check is called {id_[:100]!r}", hint=hint)
    sys.stdout.write("\n".join(_page(info)) + "\n")


def _page(info: CheckInfo) -> Iterator[str]:
    yield f"{info.id} {info.slug}"
    yield info.title
    yield ""
    yield f"severity:  {info.severity.value}"
    yield f"waivable:  {'yes' if info.waivable else _not_waivable(info.id)}"
    yield f"why:       {info.rationale}"
    yield f"what to do: {info.remediation}"
    if info.references:
        yield f"see:       {', '.join(info.references)}"


def _not_waivable(check: str) -> str:
    """Integrity findings always deny; whether a scanner is wanted is a setting of the policy, not a matter for waivers."""
    from gef_registry.policy.model import SCANNER_CHECK

    if check == SCANNER_CHECK:
        return "no: the policy's `scanner.required` says what a missing scan leads to"
    return "no: it guards integrity, its findings always deny"
