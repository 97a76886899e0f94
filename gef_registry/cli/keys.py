"""`gef-registry keys`: the fingerprints of a gate's keys. Private parts are never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="keys", help="The keys of a gate.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Adds `keys …`."""
    parent.add_typer(app)


@app.command("show")
def show(
    data: Annotated[Path, typer.Option(help="The gate's data directory.", exists=True, file_okay=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows the key set: purposes, fingerprints, validity. Hosts pin the root's fingerprint."""
    import json

    from gef_registry.signing.fields import rfc3339
    from gef_registry.wiring.keyring import load_keyset

    _, keyset = load_keyset(data / "keys")
    if as_json:
        rows = [
            {
                "purpose": key.purpose.value,
                "algorithm": key.public.algorithm.value,
                "fingerprint": key.public.fingerprint,
                "not_before": rfc3339(key.not_before),
                "not_after": rfc3339(key.not_after) if key.not_after is not None else None,
                "vkey": key.vkey,
            }
            for key in keyset.keys
        ]
        document = {
            "version": keyset.version,
            "verifier_id": keyset.verifier_id,
            "name": keyset.name,
            "log_origin": keyset.log_origin,
            "root": keyset.root.fingerprint,
            "keys": rows,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"gate {keyset.verifier_id}, key set version {keyset.version} of {rfc3339(keyset.issued_at)}")
    typer.echo(f"root        {keyset.root.fingerprint}   <- hosts pin this one")
    for key in keyset.keys:
        until = f" until {rfc3339(key.not_after)}" if key.not_after is not None else ""
        typer.echo(f"{key.purpose.value:<11} {key.public.fingerprint}   {key.public.algorithm.value}{until}")


@app.command("export")
def export(
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help="admission, revocation, log, cosigner or token.")],
    data: Annotated[Path, typer.Option(help="The gate's data directory.", exists=True, file_okay=False)],
) -> None:
    """Prints a public key as PEM, for tools that verify with it (cosign verify --key)."""
    from gef_registry.errors import BadInput
    from gef_registry.wiring.keyring import load_keyset

    _, keyset = load_keyset(data / "keys")
    found = [key.public.pem for key in keyset.keys if key.purpose.value == purpose]
    if not found:
        known = ", ".join(sorted({key.purpose.value for key in keyset.keys}))
        raise BadInput(f"there is no {purpose[:40]!r} key; there are {known}")
    typer.echo(b"".join(found).decode(), nl=False)
