"""The image is what it says it is, and all of it could be read: checks made of the problems met while reading.

None of them can be waived: an image that contradicts itself, or a part of which nobody could look at, is never good.
Each kind of problem belongs to exactly one check; a test keeps it so.
"""

from __future__ import annotations

import datetime

from gef_registry.checks.check import Check, finding, shown
from gef_registry.checks.model import CheckInfo, CheckResult, Finding, Location, Outcome, Severity
from gef_registry.facts.model import ImageFacts, Problem, ProblemKind

_IMAGE_SPEC = "OCI image specification 1.1"

CONTENT = CheckInfo(
    id="OCI-001",
    slug="content-mismatch",
    title="Content does not match its digest, size or diff_id",
    severity=Severity.CRITICAL,
    rationale="Digests are what everything else stands on: a mismatch means a damaged store or a forged image, and what "
    "was checked would not be what runs.",
    remediation="Push the image again from a store that is intact; if it happens again, do not trust the builder.",
    references=(f"{_IMAGE_SPEC}, descriptor and config",),
    waivable=False,
)
UNREAD = CheckInfo(
    id="OCI-002",
    slug="unreadable-content",
    title="A part of the image is of a kind that nobody here can read",
    severity=Severity.HIGH,
    rationale="Artifacts, foreign layers, nested indexes and unknown media types hold content that no check has seen.",
    remediation="Build with a current builder: OCI or Docker schema 2 manifests, tar layers without compression, with gzip or zstd.",
    references=(f"{_IMAGE_SPEC}, manifest and media types", "CVE-2021-41190"),
    waivable=False,
)
INDEX = CheckInfo(
    id="OCI-004",
    slug="ambiguous-index",
    title="The index does not say clearly which image is for which platform",
    severity=Severity.HIGH,
    rationale="Clients choose differently among duplicates and contradictions: what was looked at may not be what runs.",
    remediation="Build the index again with one manifest for each platform, as its configuration states it.",
    references=(f"{_IMAGE_SPEC}, image index",),
)
BOMB = CheckInfo(
    id="TAR-001",
    slug="limit-exceeded",
    title="The image exceeds a bound: a decompression bomb, or far too much of something",
    severity=Severity.CRITICAL,
    rationale="Layers that unpack to hundreds of times their size, millions of entries, or endless names stop whoever "
    "reads them.",
    remediation="Remove what is huge or generated from the image; large data belong beside it, as inputs.",
    references=("CWE-409",),
    waivable=False,
)
ARCHIVE = CheckInfo(
    id="TAR-005",
    slug="malformed-archive",
    title="A layer is not a sound archive",
    severity=Severity.HIGH,
    rationale="Readers disagree about malformed archives: what is checked would not be what is unpacked.",
    remediation="Build the layer again with a current builder.",
    references=("POSIX.1-2001 pax", f"{_IMAGE_SPEC}, layer"),
    waivable=False,
)
CONFIG = CheckInfo(
    id="CFG-007",
    slug="malformed-config",
    title="The image configuration is malformed or ambiguous",
    severity=Severity.HIGH,
    rationale="Two parsers would read two images: duplicate keys, invalid UTF-8, wrong types and excess are not tolerated.",
    remediation="Build again with a current builder, and do not edit the configuration by hand.",
    references=(f"{_IMAGE_SPEC}, config",),
    waivable=False,
)

OWNERS: dict[ProblemKind, CheckInfo] = {
    ProblemKind.DIGEST_MISMATCH: CONTENT,
    ProblemKind.SIZE_MISMATCH: CONTENT,
    ProblemKind.DIFF_ID_MISMATCH: CONTENT,
    ProblemKind.LAYER_COUNT_MISMATCH: CONTENT,
    ProblemKind.MISSING: CONTENT,
    ProblemKind.CORRUPT_COMPRESSION: CONTENT,
    ProblemKind.MALFORMED_MANIFEST: UNREAD,
    ProblemKind.UNSUPPORTED_CONTENT: UNREAD,
    ProblemKind.FOREIGN_LAYER: UNREAD,
    ProblemKind.NOT_AN_IMAGE: UNREAD,
    ProblemKind.NESTED_INDEX: UNREAD,
    ProblemKind.UNREADABLE_HERE: UNREAD,
    ProblemKind.AMBIGUOUS_INDEX: INDEX,
    ProblemKind.LIMIT_EXCEEDED: BOMB,
    ProblemKind.MALFORMED_ARCHIVE: ARCHIVE,
    ProblemKind.MALFORMED_CONFIG: CONFIG,
}


def _check(info: CheckInfo) -> Check:
    def inspect(facts: ImageFacts, at: datetime.datetime) -> CheckResult:
        problems = [problem for problem in facts.problems if OWNERS[problem.kind] is info]
        ours = [p for p in problems if p.kind is ProblemKind.UNREADABLE_HERE]
        findings = tuple(_finding(info, p) for p in problems if p.kind is not ProblemKind.UNREADABLE_HERE)
        if findings:
            return CheckResult(info.id, Outcome.FAIL, findings)
        if ours:
            return CheckResult(info.id, Outcome.ERROR, reason="; ".join(shown(p.message, 300) for p in ours[:8]))
        if info is UNREAD and not facts.problems and not _all_read(facts):
            return CheckResult(info.id, Outcome.ERROR, reason="not all of the image was read")
        return CheckResult(info.id, Outcome.PASS)

    return Check(info, inspect)


def _all_read(facts: ImageFacts) -> bool:
    return bool(facts.platforms) and all(p.config and not p.unread_layers for p in facts.platforms)


def _finding(info: CheckInfo, problem: Problem) -> Finding:
    location = Location(platform=problem.platform, layer=problem.layer)
    return finding(info, shown(problem.message, 400), location=location, evidence=problem.kind.value)


CHECKS = tuple(_check(info) for info in (CONTENT, UNREAD, INDEX, BOMB, ARCHIVE, CONFIG))
