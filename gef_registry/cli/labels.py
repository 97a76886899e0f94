"""`gef-registry labels check | init`: the label contract before anything is built."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gef_registry.cli.options import (
    EXIT_CODES,
    AtOption,
    FormatOption,
    OutputOption,
    PlainHttpOption,
    PolicyOption,
    QuietOption,
    RepositoryOption,
    moment,
)
from gef_registry.errors import BadInput, Conflict, NotFound, Unavailable
from gef_registry.policy.wording import plain

if TYPE_CHECKING:
    from gef_registry.oci.reference import ImageName
    from gef_registry.policy.model import Policy
    from gef_registry.report.model import Report

DOCKERFILE_NAMES = ("Dockerfile", "Containerfile")


def register(app: typer.Typer) -> None:
    labels = typer.Typer(help="The labels that make an image a GEF service.", no_args_is_help=True)
    labels.command("check")(check_labels)
    labels.command("init")(init_labels)
    app.add_typer(labels, name="labels")


def check_labels(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DOCKERFILE|DIRECTORY|IMAGE", help="What to look at; a directory is asked for its Dockerfile."
        ),
    ],
    policy: PolicyOption = None,
    format_: FormatOption = "table",
    output: OutputOption = None,
    repository: RepositoryOption = None,
    at: AtOption = None,
    quiet: QuietOption = False,
    plain_http: PlainHttpOption = False,
) -> None:
    """Check labels only: the same findings as `check`, before a build, with line numbers."""
    import asyncio

    from gef_registry.cli.check import print_report
    from gef_registry.report.formats import format_named
    from gef_registry.settings import load_settings
    from gef_registry.wiring.policies import load_named_policy

    chosen = format_named(format_)
    understood = _target(target)
    loaded = load_named_policy(load_settings(flags={"client.policy": policy}).client.policy)
    if isinstance(understood, Path):
        report = _of_dockerfile(understood, loaded, repository, moment(at))
    else:
        report = asyncio.run(_of_image(understood, loaded, repository, moment(at), plain_http=plain_http))
    print_report(report, chosen, output, quiet=quiet)
    raise typer.Exit(EXIT_CODES[report.decision])


def _target(text: str) -> Path | ImageName:
    """A Dockerfile to read, or an image. Raises BadInput, NotFound."""
    from gef_registry.oci.reference import LayoutImage, parse_image_name

    path = Path(text)
    if path.is_dir():
        found = next((path / name for name in DOCKERFILE_NAMES if (path / name).is_file()), None)
        if found is None and (path / "oci-layout").is_file():
            return LayoutImage(text)
        if found is None:
            raise NotFound(f"{text}: neither {' nor '.join(DOCKERFILE_NAMES)} nor an OCI layout is in this directory")
        return found
    if path.exists():
        return path
    try:
        return parse_image_name(text)
    except BadInput as error:
        if ":" in text and "/" not in text.partition(":")[0]:
            raise
        raise NotFound(f"{text[:300]}: there is no such file, and it does not name an image either") from error


def _of_dockerfile(path: Path, policy: Policy, repository: str | None, at: datetime) -> Report:
    from gef_registry.wiring.labels import MAX_DOCKERFILE_BYTES, judge_dockerfile

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_DOCKERFILE_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_DOCKERFILE_BYTES:
        raise Unavailable(f"{path}: more than {MAX_DOCKERFILE_BYTES} bytes, which is no Dockerfile")
    try:
        text = raw.decode("utf-8-sig")
        report, precheck = judge_dockerfile(text, str(path), policy=policy, repository=repository, at=at)
    except UnicodeDecodeError as error:
        raise Unavailable(f"{path}: not UTF-8 at byte {error.start}, so no Dockerfile") from error
    except BadInput as error:
        raise Unavailable(f"{path}: {error.message}", hint=error.hint) from error
    for note in (*precheck.image.problems, *precheck.image.unknown):
        sys.stderr.write(f"note: {plain(str(path))}:{note.line}: {plain(note.message)}\n")
    return report


async def _of_image(
    name: ImageName, policy: Policy, repository: str | None, at: datetime, *, plain_http: bool
) -> Report:
    from gef_registry.cli.options import repository_of
    from gef_registry.wiring.labels import judge_labels
    from gef_registry.wiring.sources import open_source

    wanted = repository_of(name, repository)
    source = open_source(name, plain_http=plain_http)
    try:
        return await judge_labels(source, policy=policy, repository=wanted, at=at)
    finally:
        await source.close()


def init_labels(
    name: Annotated[str, typer.Option("--name", help="What the service is called.")] = "My service",
    description: Annotated[str, typer.Option("--description", help="What it does.")] = "What the service does.",
    version: Annotated[str, typer.Option("--version", help="SemVer, N or N.N.")] = "0.1.0",
    output: OutputOption = None,
) -> None:
    """Write a commented label block to paste into a Dockerfile."""
    from gef_registry.cli.terminal import write_answer
    from gef_registry.service.template import label_block

    if output is not None and output.is_file():
        raise Conflict(f"{output} is already there", hint="name another file, or paste what stdout gives")
    write_answer(label_block(name=name, description=description, version=version).encode(), output)
