"""`gef-registry submit`: have the gate fetch an image from another registry, judge it and admit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gef_registry.cli.gate import (
    FormatOption,
    GateOption,
    TokenOption,
    check_format,
    exit_code,
    print_json,
    print_submission,
    tell_on_terminal,
    text,
    watch,
    with_gate,
)
from gef_registry.errors import BadInput

if TYPE_CHECKING:
    from gef_registry.wiring.gate_client import GateClient


def register(app: typer.Typer) -> None:
    @app.command()
    def submit(
        image: Annotated[
            str, typer.Argument(metavar="IMAGE", help="[docker://]HOST/REPO[:TAG|@DIGEST]", show_default=False)
        ],
        name: Annotated[
            str, typer.Option("--as", metavar="trusted/C/S:TAG", help="The name to admit it under.", show_default=False)
        ],
        wait: Annotated[bool, typer.Option("--wait", help="Wait for the decision; it is the exit code.")] = False,
        gate: GateOption = None,
        token: TokenOption = None,
        format: FormatOption = "table",
    ) -> None:
        """Submit an image of another registry for admission."""
        repository, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            raise BadInput(f"--as {name[:300]!r} has no tag", hint="write trusted/<community>/<service>:<version>")
        check_format(format)

        async def act(client: GateClient) -> tuple[str, dict[str, Any]]:
            request = {"image": image, "name": repository, "tag": tag}
            submission = await client.post("/api/v1/submissions", request)
            if wait:
                submission = await watch(client, text(submission, "id"), tell=tell_on_terminal)
            return client.gate, submission

        address, submission = with_gate(gate, token, act)
        if format == "json":
            print_json(submission)
        else:
            print_submission(submission, address)
        raise typer.Exit(exit_code(text(submission, "state")) if wait else 0)
