"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gef_registry.errors import BadInput
from gef_registry.policy.verdict import Decision

if TYPE_CHECKING:
    from gef_registry.oci.reference import ImageName

EXIT_CODES: dict[Decision, int] = {
    Decision.ADMIT: 0,
    Decision.DENY: 1,
    Decision.UNDECIDED: 3,
    Decision.REVIEW: 4,
}

IMAGE_FORMS = (
    "docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, docker-daemon:NAME"
)

ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help=IMAGE_FORMS, show_default=False)]
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", "-p", metavar="NAME|FILE", help="default, strict, development, or a policy file."),
]
FormatOption = Annotated[str, typer.Option("--format", "-f", metavar="table|json", help="How the report is written.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of stdout.")
]
RepositoryOption = Annotated[
    str | None,
    typer.Option("--repository", metavar="NAME", help="The repository to judge it for (rules and waivers by name)."),
]
AtOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="Judge for this moment (RFC 3339) instead of now.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing; the exit code is the answer.")]
PlainHttpOption = Annotated[bool, typer.Option("--plain-http", help="Speak to this registry without TLS.")]


def moment(text: str | None) -> datetime.datetime:
    """RFC 3339 with a time zone, or now. Raises BadInput."""
    if text is None:
        return datetime.datetime.now(datetime.UTC)
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"--at: {text[:60]!r} is not a time; expected for example 2026-11-22T10:00:00Z") from error
    if parsed.tzinfo is None:
        raise BadInput(f"--at: {text[:60]!r} has no time zone", hint="add Z for UTC")
    try:
        return parsed.astimezone(datetime.UTC)
    except OverflowError as error:
        raise BadInput(f"--at: {text[:60]!r} is out of range") from error


def repository_of(name: ImageName, given: str | None) -> str | None:
    """The repository to judge for: what was said, else that of a name on a registry. Raises BadInput."""
    from gef_registry.oci.reference import RegistryImage, is_repository

    if given is not None and not is_repository(given):
        raise BadInput(f"--repository: {given[:260]!r} is not a repository name")
    if given is None and isinstance(name, RegistryImage):
        return name.reference.repository
    return given
