"""`gef-registry status`: where a submission stands; without an argument, one's own submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gef_registry.cli.gate import (
    FormatOption,
    GateOption,
    TokenOption,
    check_format,
    exit_code,
    objects,
    print_json,
    print_submission,
    submission_path,
    tell_on_terminal,
    text,
    watch,
    with_gate,
)
from gef_registry.errors import BadInput, Conflict, NotFound

if TYPE_CHECKING:
    from gef_registry.wiring.gate_client import GateClient


def register(app: typer.Typer) -> None:
    @app.command()
    def status(
        what: Annotated[
            str | None,
            typer.Argument(metavar="[ID|NAME]", help="A submission, or trusted/C/S:TAG.", show_default=False),
        ] = None,
        watching: Annotated[
            bool, typer.Option("--watch", help="Wait until it is decided or needs a reviewer.")
        ] = False,
        gate: GateOption = None,
        token: TokenOption = None,
        format: FormatOption = "table",
    ) -> None:
        """Show a submission, and answer with its state: 0 admitted, 1 refused, 4 waits for review, 3 no verdict."""
        check_format(format)
        if what is None:
            if watching:
                raise BadInput("--watch needs a submission or a name")
            _list(with_gate(gate, token, lambda client: client.get("/api/v1/submissions")), format)
            return

        async def act(client: GateClient) -> tuple[str, dict[str, Any]]:
            submission = await find(client, what)
            if watching:
                submission = await watch(client, text(submission, "id"), tell=tell_on_terminal)
            return client.gate, submission

        address, submission = with_gate(gate, token, act)
        if format == "json":
            print_json(submission)
        else:
            print_submission(submission, address)
        raise typer.Exit(exit_code(text(submission, "state")))


async def find(client: GateClient, what: str) -> dict[str, Any]:
    """A submission by its id, or the newest one of a name `trusted/C/S[:TAG]`. Raises NotFound."""
    if "/" not in what:
        return await client.get(submission_path(what))
    repository, tag = split_name(what)
    if client.has_token:
        listed = await client.get("/api/v1/submissions", {"repository": repository})
        for submission in objects(listed, "submissions"):
            if tag in (None, submission.get("tag")):
                return submission
    version = await admitted_version(client, repository, tag)
    links = version.get("links")
    path = links.get("submission") if isinstance(links, dict) else None
    if not isinstance(path, str):
        raise NotFound(f"the gate names no submission of {what[:300]}")
    return await client.get(submission_path(path.rpartition("/")[2]))


async def admitted_version(client: GateClient, repository: str, tag: str | None) -> dict[str, Any]:
    """An admitted version of a service, the highest one without a tag. Raises NotFound."""
    service = await client.get(f"/api/v1/services/{repository}")
    for version in objects(service, "versions"):
        if tag in (None, version.get("tag")):
            return version
    for version in objects(service, "revoked"):
        if tag == version.get("tag"):
            reason, when = str(version.get("reason") or "no reason given"), str(version.get("revoked_at") or "")[:10]
            raise Conflict(f"{repository}:{tag} was revoked on {when}: {reason[:300]}")
    raise NotFound(f"{repository} has no admitted version {tag}")


def split_name(name: str) -> tuple[str, str | None]:
    """`trusted/C/S[:TAG]`. Raises BadInput."""
    from gef_registry.oci.reference import is_repository, is_tag

    repository, colon, tag = name.partition(":")
    if not is_repository(repository) or not repository.startswith("trusted/") or (colon and not is_tag(tag)):
        raise BadInput(f"{name[:300]!r} is no name of the gate", hint="write trusted/<community>/<service>[:<tag>]")
    return repository, tag or None


def _list(document: dict[str, Any], format: str) -> None:
    from gef_registry.cli.tables import print_table

    if format == "json":
        print_json(document)
        return
    rows = [
        [text(s, "id"), f"{text(s, 'repository')}:{text(s, 'tag')}", text(s, "state"), text(s, "updated_at")]
        for s in objects(document, "submissions")
    ]
    print_table(["SUBMISSION", "NAME", "STATE", "SINCE"], rows)
