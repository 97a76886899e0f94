"""`gef-registry host`: which gate this machine follows, and how fresh its view is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gef_registry.wiring.host import HostView

app = typer.Typer(name="host", help="Follow a gate's log on this machine.", no_args_is_help=True)
View = Annotated[Path | None, typer.Option(help="The view's directory, else $GEF_REGISTRY_VIEW.")]


def register(parent: typer.Typer) -> None:
    """Adds `host …`."""
    parent.add_typer(app)


@app.command("init")
def init(
    gate: Annotated[str, typer.Option(help="The gate's address, https://HOST[:PORT].")],
    fingerprint: Annotated[
        str | None, typer.Option(help="Its root key's fingerprint, sha256:…, as its operator gave it.")
    ] = None,
    view: View = None,
) -> None:
    """Pins a gate's root key and makes the first view. Without --fingerprint, asks on a terminal."""
    import asyncio
    import sys

    from gef_registry.wiring import host

    confirm = _confirm if sys.stdin.isatty() and sys.stderr.isatty() else None
    directory = _directory(view)
    pin, made = asyncio.run(host.pin_gate(directory, gate, fingerprint, confirm))
    typer.echo(f"pinned {pin.gate}, root key {pin.root_fingerprint}")
    typer.echo(f"view in {directory}: {made.size} log entries, {len(made.names)} names")


@app.command("sync")
def sync(view: View = None) -> None:
    """Brings the view up to date: fetches and verifies what is new in the log."""
    import asyncio

    from gef_registry.wiring import host

    _print(asyncio.run(host.sync_view(_directory(view))))


@app.command("status")
def status(view: View = None) -> None:
    """Shows the view as it is on disk; exit code 1 when it is older than a day."""
    import asyncio

    from gef_registry.wiring import host

    age_s = _print(asyncio.run(host.load_view(_directory(view))))
    if age_s is None:
        raise typer.Exit(3)
    raise typer.Exit(1 if age_s > 24 * 3600 else 0)


def _print(found: HostView) -> int | None:
    import time

    from gef_registry.signing.fields import rfc3339

    typer.echo(f"gate       {found.pin.gate}")
    typer.echo(f"root key   {found.pin.root_fingerprint}")
    if found.view is None:
        typer.echo("view       none yet: run `gef-registry host sync`")
        return None
    age_s = int(time.time()) - found.view.cosigned_at
    typer.echo(f"log        {found.view.size} entries, cosigned {rfc3339(found.view.cosigned_at)} ({age_s} s ago)")
    typer.echo(f"admitted   {len(found.view.admissions)} digests, {len(found.view.names)} names")
    typer.echo(f"revoked    {len(found.view.revocations)} digests")
    for problem in found.view.problems[:20]:
        typer.echo(f"problem    entry {problem.index}: {problem.message}")
    if len(found.view.problems) > 20:
        typer.echo(f"problem    and {len(found.view.problems) - 20} more")
    return age_s


def _confirm(gate: str, fingerprint: str) -> bool:
    typer.echo(f"{gate} has the root key\n\n    {fingerprint}\n", err=True)
    typer.echo("Compare it with what the gate's operator told you by another way.", err=True)
    answer: str = typer.prompt("Type yes if it is the same", default="no", err=True)
    return answer.strip() == "yes"


def _directory(view: Path | None) -> Path:
    import os

    from gef_registry.wiring import host

    return view or host.default_view_directory(os.environ)
