"""One image, judged: facts gathered, checks run, policy applied, report written. The CLI and the gate use the same path.

What differs between the two is in the arguments: the gate skips nothing and shows no progress.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gef_registry import __version__
from gef_registry.checks import run as checks
from gef_registry.facts.blobs import Progress
from gef_registry.facts.cache import FactsCache
from gef_registry.facts.gather import gather
from gef_registry.facts.limits import Limits
from gef_registry.facts.model import ImageFacts
from gef_registry.oci.digest import Digest
from gef_registry.oci.source import Source
from gef_registry.policy.decide import decide
from gef_registry.policy.model import Policy
from gef_registry.policy.verdict import Verdict
from gef_registry.report import json
from gef_registry.report.model import Report, Subject, Tool, compose
from gef_registry.service.contract import parse
from gef_registry.service.describe import describe
from gef_registry.wiring.policies import known_checks


@dataclass(frozen=True, slots=True)
class Judgement:
    """`report_bytes` is the JSON report without timings: the same judgement on another machine has the same digest.

    `service` is the public description of what the labels declare; None when they declare no valid service, or when
    the platforms of an index disagree about it.
    """

    verdict: Verdict
    report: Report
    report_bytes: bytes
    facts: ImageFacts
    service: Mapping[str, Any] | None

    @property
    def report_digest(self) -> Digest:
        return Digest.of(self.report_bytes)


async def judge(
    source: Source,
    *,
    policy: Policy,
    repository: str | None,
    at: datetime.datetime,
    cache: FactsCache | None = None,
    progress: Progress | None = None,
    skip: frozenset[str] = frozenset(),
    limits: Limits | None = None,
    tools: tuple[Tool, ...] = (),
) -> Judgement:
    """Judges what `source` names, as an image of `repository`, for the moment `at`.

    `limits` are this machine's; the policy's content limits replace those parts of them. `tools` are further programs
    whose answers counted. Raises NotFound and Unavailable when the image cannot be had or read in time.
    """
    started = time.perf_counter()
    facts = await gather(source, limits=limits_of(policy, limits), cache=cache, progress=progress)
    gathered = time.perf_counter()

    def conclude() -> Judgement:
        return _conclude(source, facts, policy, repository, at, skip, tools, (started, gathered))

    return await asyncio.to_thread(conclude)


def _conclude(
    source: Source,
    facts: ImageFacts,
    policy: Policy,
    repository: str | None,
    at: datetime.datetime,
    skip: frozenset[str],
    tools: tuple[Tool, ...],
    times: tuple[float, float],
) -> Judgement:
    """Checks, verdict and report: pure, and slow for an image made to be slow."""
    results = checks.run(facts, at=at, skip=skip)
    verdict = decide(
        policy, results, repository=repository, at=at, known=known_checks(), skipped=skip, digest=facts.subject.digest
    )
    decided = time.perf_counter()
    report = compose(
        subject=_subject(source, facts),
        verdict=verdict,
        policy=policy,
        at=at,
        tools=(*own_tools(), *_scanner(facts), *tools),
        skipped=skip,
        timings={"gather_s": times[1] - times[0], "decide_s": decided - times[1]},
    )
    return Judgement(verdict, report, json.render(report.without_timings()), facts, describe_service(facts))


def limits_of(policy: Policy, limits: Limits | None = None) -> Limits:
    """The bounds for reading an image: the machine's, with what the policy says about content."""
    return replace(
        limits or Limits(),
        uncompressed_bytes=policy.limits.uncompressed_bytes,
        entries=policy.limits.entries,
        ratio=policy.limits.ratio,
    )


def own_tools() -> tuple[Tool, ...]:
    return (Tool("gef-registry", __version__),)


def describe_service(facts: ImageFacts) -> Mapping[str, Any] | None:
    """What the labels declare, if every platform declares the same."""
    services = [
        parse(platform.config.labels, has_command=platform.config.has_command).service if platform.config else None
        for platform in facts.platforms
    ]
    first = services[0] if services else None
    return describe(first) if first is not None and all(service == first for service in services) else None


def _subject(source: Source, facts: ImageFacts) -> Subject:
    platforms = tuple(dict.fromkeys(platform.name for platform in facts.platforms))
    return Subject(source.name, facts.subject.digest, facts.subject.media_type, platforms)


def _scanner(facts: ImageFacts) -> tuple[Tool, ...]:
    return (Tool(facts.scan.tool, facts.scan.version, facts.scan.database),) if facts.scan else ()
