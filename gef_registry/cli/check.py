"""`gef-registry check IMAGE`: judges one image, prints the report, answers with the exit code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gef_registry.cli.options import (
    EXIT_CODES,
    AtOption,
    FormatOption,
    ImageArgument,
    OutputOption,
    PlainHttpOption,
    PolicyOption,
    QuietOption,
    RepositoryOption,
    moment,
    repository_of,
)

if TYPE_CHECKING:
    from gef_registry.facts.cache import FactsCache
    from gef_registry.oci.reference import ImageName
    from gef_registry.policy.model import Policy
    from gef_registry.report.format import Format
    from gef_registry.report.model import Report
    from gef_registry.settings import Settings
    from gef_registry.wiring.judging import Judgement


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, understood before anything is opened."""

    name: ImageName
    policy: Policy
    repository: str | None
    at: datetime
    skip: frozenset[str] = frozenset()
    cache: FactsCache | None = None
    plain_http: bool = False
    show_progress: bool = False
    timeout_s: float = 60


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    image: ImageArgument,
    policy: PolicyOption = None,
    format_: FormatOption = "table",
    output: OutputOption = None,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", metavar="ID|vulnerabilities", help="Leave this out; the report says so. Repeatable."),
    ] = None,
    repository: RepositoryOption = None,
    at: AtOption = None,
    cache_dir: Annotated[
        Path | None, typer.Option("--cache-dir", metavar="DIR", help="Where facts about layers are kept between runs.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Read every layer anew and keep nothing.")] = False,
    quiet: QuietOption = False,
    plain_http: PlainHttpOption = False,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.")] = False,
) -> None:
    """Judge an image: would it be admitted, and if not, what is to be done?"""
    import asyncio

    from gef_registry.oci.reference import parse_image_name
    from gef_registry.policy.skip import parse_skips
    from gef_registry.report.formats import format_named
    from gef_registry.settings import load_settings
    from gef_registry.wiring.policies import known_checks, load_named_policy

    chosen = format_named(format_)
    name = parse_image_name(image)
    settings = load_settings(flags={"client.policy": policy, "cache.directory": cache_dir})
    request = Request(
        name=name,
        policy=load_named_policy(settings.client.policy),
        repository=repository_of(name, repository),
        at=moment(at),
        skip=parse_skips(skip or (), known_checks()),
        cache=None if no_cache else facts_cache(settings),
        plain_http=plain_http,
        show_progress=not (quiet or no_progress),
        timeout_s=settings.client.timeout_s,
    )
    judgement = asyncio.run(judge_image(request))
    print_report(judgement.report, chosen, output, quiet=quiet)
    raise typer.Exit(EXIT_CODES[judgement.verdict.decision])


async def judge_image(request: Request) -> Judgement:
    """Opens the image, judges it and closes it again."""
    from gef_registry.cli.terminal import progress
    from gef_registry.distribution.client import ClientSettings
    from gef_registry.wiring.judging import judge
    from gef_registry.wiring.sources import open_source

    limits = ClientSettings(
        answer_timeout_s=request.timeout_s, silence_timeout_s=request.timeout_s, deadline_s=3 * request.timeout_s
    )
    source = open_source(request.name, plain_http=request.plain_http, settings=limits)
    try:
        with progress(wanted=request.show_progress) as bar:
            return await judge(
                source,
                policy=request.policy,
                repository=request.repository,
                at=request.at,
                cache=request.cache,
                progress=bar,
                skip=request.skip,
            )
    finally:
        await source.close()


def print_report(report: Report, chosen: Format, output: Path | None, *, quiet: bool) -> None:
    """Writes the report to the file or to stdout; quiet writes files only."""
    from gef_registry.cli.terminal import layout, write_answer

    if not quiet or output is not None:
        write_answer(chosen.render(report, layout(to_file=output is not None)), output)


def facts_cache(settings: Settings) -> FactsCache:
    from gef_registry.facts.cache import DirectoryCache

    return DirectoryCache(cache_directory(settings), max_bytes=settings.cache.max_bytes)


def cache_directory(settings: Settings) -> Path:
    """The one that is set, else the user's (XDG base directories)."""
    if settings.cache.directory is not None:
        return settings.cache.directory
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "gef-registry" / "facts"
