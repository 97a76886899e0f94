"""`gef-registry verify`: is this image admitted, as this host sees the log?"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gef_registry.enforcement.decide import Decision
    from gef_registry.wiring.host import HostView


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Adds `verify`."""
    app.command("verify")(verify)


def verify(
    reference: Annotated[
        str, typer.Argument(metavar="REF|DIGEST", help="COMMUNITY/SERVICE[:TAG], any host in front, or sha256:…")
    ],
    view: Annotated[Path | None, typer.Option(help="The view's directory, else $GEF_REGISTRY_VIEW.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Decide by the view alone; do not ask the gate.")] = False,
    gate: Annotated[str | None, typer.Option(help="The gate to follow, if the view does not exist yet.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Its root key's fingerprint, sha256:….")] = None,
    max_age_h: Annotated[float, typer.Option(min=0.01, help="The oldest view that may decide, in hours.")] = 24.0,
    output: Annotated[Format, typer.Option("--format", help="How to print the answer.")] = Format.TABLE,
) -> None:
    """Tells whether an image is admitted and not revoked. Exit code 0 yes, 1 no (and why), 3 nothing to decide by."""
    import asyncio
    import time

    from gef_registry.wiring import host

    directory = view or host.default_view_directory(_environment())
    found = asyncio.run(_find(directory, offline, gate, fingerprint))
    decision = host.ask(found, reference, now=int(time.time()), max_age_s=int(max_age_h * 3600))
    if output is Format.JSON:
        typer.echo(_as_json(reference, decision, found))
    else:
        _print(reference, decision, found)
    raise typer.Exit(host.exit_code(decision))


async def _find(directory: Path, offline: bool, gate: str | None, fingerprint: str | None) -> HostView:
    from gef_registry.enforcement.view_directory import ViewDirectory
    from gef_registry.errors import BadInput
    from gef_registry.wiring import host

    if (gate is None) != (fingerprint is None) or (gate is not None and offline):
        raise BadInput("--gate and --fingerprint go together, and not with --offline")
    if gate is not None and ViewDirectory(directory).pin() is None:
        await host.pin_gate(directory, gate, fingerprint, None)
        return await host.load_view(directory)
    if gate is not None:
        pin = host.require_pin(directory)
        if pin.root_fingerprint != fingerprint:
            raise BadInput(f"the view in {directory} follows another gate, {pin.gate}", hint="use another --view")
    return await (host.load_view(directory) if offline else host.current_view(directory))


def _print(reference: str, decision: Decision, found: HostView) -> None:
    from gef_registry.policy.wording import plain

    mark = (
        typer.style("ADMITTED", fg="green", bold=True)
        if decision.allowed
        else typer.style("REFUSED", fg="red", bold=True)
    )
    typer.echo(f"{mark}  {reference}  ({decision.reason.value})")
    typer.echo(f"  {plain(decision.message)}")
    if found.view is not None:
        age = decision.view_age_s if decision.view_age_s is not None else 0
        typer.echo(f"  view of {found.pin.gate}: {found.view.size} log entries, cosigned {age} s ago")
    if found.note:
        typer.echo(f"  note: {plain(found.note)}")


def _as_json(reference: str, decision: Decision, found: HostView) -> str:
    import json

    from gef_registry.signing.fields import rfc3339

    document: dict[str, Any] = {
        "reference": reference,
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "message": decision.message,
        "digest": str(decision.digest) if decision.digest else None,
        "gate": found.pin.gate,
        "view_age_s": decision.view_age_s,
        "log_size": found.view.size if found.view else None,
        "note": found.note,
    }
    if decision.admitted is not None:
        admission = decision.admitted.admission
        document["admission"] = {
            "name": admission.name,
            "log_index": decision.admitted.index,
            "admitted_at": rfc3339(admission.verified_at),
            "expires_at": rfc3339(admission.expires_at) if admission.expires_at is not None else None,
            "index_digest": str(admission.index_digest),
            "platform": admission.platform,
            "policy": {"name": admission.policy_name, "digest": str(admission.policy_digest)},
            "report_digest": str(admission.report_digest),
            "trial": admission.trial,
        }
    if decision.revoked is not None:
        revocation = decision.revoked.revocation
        document["revocation"] = {
            "log_index": decision.revoked.index,
            "revoked_at": rfc3339(revocation.revoked_at),
            "revoked_by": revocation.revoked_by,
            "reason": revocation.reason,
        }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)
