"""`gef-registry log`: re-hash a gate's whole log, and prove that something is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="log", help="The transparency log in a gate's data directory.", no_args_is_help=True)
Data = Annotated[Path, typer.Option(help="The gate's data directory.", exists=True, file_okay=False)]


def register(parent: typer.Typer) -> None:
    """Adds `log …`."""
    parent.add_typer(app)


@app.command("audit")
def audit(data: Data) -> None:
    """Re-hashes every entry, tile and statement and verifies every signature. Exit code 1 when anything is wrong."""
    import asyncio

    from gef_registry.wiring.log_inspection import audit_log

    result = asyncio.run(audit_log(data))
    report = result.report
    typer.echo(
        f"{report.entries} entries, {report.tiles} tiles, {report.statements} statements, {report.bytes_hashed} bytes hashed"
    )
    if report.checkpoint is not None:
        typer.echo(
            f"checkpoint {report.checkpoint.origin}, {report.checkpoint.size} entries, root {report.checkpoint.root.hex()}"
        )
    if result.view is not None:
        typer.echo(f"{len(result.view.admissions)} digests admitted, {len(result.view.revocations)} revoked")
    for finding in result.findings:
        typer.echo(f"{typer.style('WRONG', fg='red', bold=True)}  {finding}")
    if not result.is_clean:
        raise typer.Exit(1)
    typer.echo(f"{typer.style('OK', fg='green', bold=True)}  the log is in order")


@app.command("prove")
def prove(
    digest: Annotated[str, typer.Argument(help="sha256:… of an admitted or revoked image.")],
    data: Data,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the newest proof to a file (c2sp.org/tlog-proof@v1).")
    ] = None,
) -> None:
    """Proves from the log's tiles that what was decided about a digest is in the log."""
    import asyncio

    from gef_registry.oci.digest import Digest
    from gef_registry.wiring import log_inspection

    proofs = asyncio.run(log_inspection.prove(data, Digest.parse(digest)))
    if output is not None:
        what, proof = proofs[-1]
        output.write_text(proof.text)
        typer.echo(f"{output}: entry {proof.index}, {what}")
        return
    for what, proof in proofs:
        typer.echo(f"# entry {proof.index}: {what}", err=True)
        typer.echo(proof.text)
