"""`gef-registry revoke`: end an admission. Logged first; hosts that follow the log refuse the image from then on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gef_registry.cli.gate import GateOption, TokenOption, text, with_gate

if TYPE_CHECKING:
    from gef_registry.wiring.gate_client import GateClient


def register(app: typer.Typer) -> None:
    @app.command()
    def revoke(
        what: Annotated[
            str, typer.Argument(metavar="REF|DIGEST", help="trusted/C/S:TAG, or sha256:…", show_default=False)
        ],
        reason: Annotated[
            str, typer.Option("--reason", metavar="TEXT", help="Why; everybody reads it.", show_default=False)
        ],
        gate: GateOption = None,
        token: TokenOption = None,
    ) -> None:
        """Revoke a digest under all its names, for good."""

        async def act(client: GateClient) -> dict[str, Any]:
            digest = await resolve(client, what)
            return await client.post("/api/v1/revocations", {"digest": digest, "reason": reason})

        revocation = with_gate(gate, token, act)
        where = revocation.get("log_index")
        entry = f", entry {where} of the log" if isinstance(where, int) else ""
        sys.stdout.write(f"revoked {text(revocation, 'digest')}{entry}\n")


async def resolve(client: GateClient, what: str) -> str:
    """The digest that is meant: itself, `NAME@DIGEST`, or what an admitted name means. Raises BadInput, NotFound."""
    from gef_registry.cli.status import admitted_version, split_name
    from gef_registry.errors import BadInput
    from gef_registry.oci.digest import Digest

    _, at, digest = what.rpartition("@")
    if at or "/" not in what:
        return str(Digest.parse(digest if at else what))
    gate_host = client.gate.partition("://")[2]
    repository, tag = split_name(what.removeprefix("docker://").removeprefix(f"{gate_host}/"))
    if tag is None:
        raise BadInput(f"{what[:300]!r} names no version", hint="add its tag; a revocation is for good")
    return text(await admitted_version(client, repository, tag), "digest")
