"""The admitted services, as the public sees them: one service for each repository, its versions the highest first.

Descriptions never change once admitted, so they are remembered (a bounded number); states are read anew each time, so a
revoked version is gone from the next answer on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gef_registry.admission.ports import Submission
from gef_registry.admission.revocation import RevocationRecord
from gef_registry.admission.states import State
from gef_registry.errors import NotFound
from gef_registry.service.version import Precedence, is_version, parse_version
from gef_registry.web.documents import timestamp
from gef_registry.web.ports import LogFiles, Records, Revocations

MAX_ADMISSIONS = 20_000
MAX_REMEMBERED = 20_000
MAX_QUERY = 200

# What a description always has; an image that a reviewer let pass without labels has no more than this.
_UNDECLARED: dict[str, Any] = {
    "name": None,
    "description": None,
    "version": None,
    "inputs": [],
    "outputs": [],
    "topics": [],
    "network": None,
    "resources": {"cpus": None, "memory_bytes": None, "gpus": None},
    "licence": None,
    "authors": None,
    "source": None,
    "documentation": None,
}


@dataclass(frozen=True, slots=True)
class AdmittedVersion:
    """One admitted digest under its name, with what its labels declare."""

    submission: Submission
    description: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.description.get("version") or self.submission.request.tag)

    @property
    def admitted_at(self) -> datetime:
        return self.submission.updated_at

    @property
    def precedence(self) -> tuple[int, Precedence, str]:
        """Sorts versions of one repository; what is no version comes last."""
        text = self.version
        if is_version(text):
            return (1, parse_version(text).precedence, self.submission.request.tag)
        return (0, (0, 0, 0, 0, ()), self.submission.request.tag)


@dataclass(frozen=True, slots=True)
class AdmittedService:
    """A repository with at least one admitted version; `versions` the highest first."""

    repository: str
    versions: tuple[AdmittedVersion, ...]

    @property
    def current(self) -> AdmittedVersion:
        return self.versions[0]

    def matches(self, query: str) -> bool:
        """Does every word occur in name, description, repository or topics?"""
        service = self.current.description
        text = " ".join(
            [self.repository, str(service.get("name") or ""), str(service.get("description") or "")]
            + [str(topic) for topic in service.get("topics") or ()]
        ).casefold()
        return all(word in text for word in query[:MAX_QUERY].casefold().split())


@dataclass(frozen=True, slots=True)
class RevokedVersion:
    """A version that had been admitted and is not any more."""

    submission: Submission
    revocation: RevocationRecord | None


class Services:
    """Reads the records; holds nothing but descriptions."""

    def __init__(self, records: Records, revocations: Revocations, log_files: LogFiles) -> None:
        self._records = records
        self._revocations = revocations
        self._log_files = log_files
        self._descriptions: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def all(self, query: str = "") -> list[AdmittedService]:
        """By repository, those that match."""
        admitted = await self._records.listing(states=[State.ADMITTED], limit=MAX_ADMISSIONS)
        return [service for service in await self._grouped(admitted) if service.matches(query)]

    async def one(self, repository: str) -> AdmittedService:
        """Raises NotFound: nothing is admitted there now."""
        admitted = await self._records.listing(states=[State.ADMITTED], repository=repository, limit=MAX_ADMISSIONS)
        found = await self._grouped(admitted)
        if not found:
            raise NotFound(f"no service is admitted as {repository[:260]}")
        return found[0]

    async def revoked(self, repository: str) -> list[RevokedVersion]:
        """Versions the log shows as admitted once. A candidate revoked on its way was never public, and is not here."""
        ended = await self._records.listing(states=[State.REVOKED], repository=repository, limit=1000)
        if not ended:
            return []
        by_digest = {record.digest: record for record in await self._revocations.listing() if record.index is not None}
        return [
            RevokedVersion(submission, by_digest.get(submission.request.digest))
            for submission in ended
            if await self.log_index(submission) is not None
        ]

    async def log_index(self, submission: Submission) -> int | None:
        """Where the log has this admission."""
        name = f"{submission.request.repository}:{submission.request.tag}"
        try:
            entries = await self._log_files.proof(submission.request.digest)
        except NotFound:
            return None
        return next((e["index"] for e in entries if e["kind"] == "admission" and e["name"] == name), None)

    async def _grouped(self, admitted: Sequence[Submission]) -> list[AdmittedService]:
        groups: dict[str, list[AdmittedVersion]] = {}
        for submission in admitted:
            version = AdmittedVersion(submission, await self._description(submission.id))
            groups.setdefault(submission.request.repository, []).append(version)
        return [
            AdmittedService(name, tuple(sorted(groups[name], key=lambda v: v.precedence, reverse=True)))
            for name in sorted(groups)
        ]

    async def _description(self, submission_id: str) -> dict[str, Any]:
        known = self._descriptions.get(submission_id)
        if known is None:
            known = {**_UNDECLARED, **(await self._records.service(submission_id) or {})}
            self._descriptions[submission_id] = known
            if len(self._descriptions) > MAX_REMEMBERED:
                self._descriptions.popitem(last=False)
        return known


def service_document(service: AdmittedService) -> dict[str, Any]:
    """A service as lists show it: its highest version, and the names of all."""
    document = version_document(service.current)
    document["versions"] = [
        {
            "version": version.version,
            "tag": version.submission.request.tag,
            "digest": str(version.submission.request.digest),
            "admitted_at": timestamp(version.admitted_at),
        }
        for version in service.versions
    ]
    return document


def version_document(version: AdmittedVersion) -> dict[str, Any]:
    """One admitted version with everything its labels declare."""
    request, declared = version.submission.request, version.description
    report = version.submission.report_digest
    return {
        "name": declared.get("name"),
        "description": declared.get("description"),
        "version": version.version,
        "repository": request.repository,
        "tag": request.tag,
        "digest": str(request.digest),
        "admitted_at": timestamp(version.admitted_at),
        "report": str(report) if report else None,
        "service": declared,
        "links": {
            "self": f"/api/v1/services/{request.repository}",
            "page": f"/services/{request.repository}",
            "submission": f"/api/v1/submissions/{version.submission.id}",
            "proof": f"/log/proof/{request.digest}",
        }
        | ({"report": f"/api/v1/reports/{report}"} if report else {}),
    }


def revoked_document(version: RevokedVersion) -> dict[str, Any]:
    request, record = version.submission.request, version.revocation
    return {
        "tag": request.tag,
        "digest": str(request.digest),
        "reason": record.reason if record else None,
        "revoked_at": timestamp(record.at if record else version.submission.updated_at),
        "log_index": record.index if record else None,
    }
