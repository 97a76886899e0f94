"""Judges candidates of the embedded registry (`admission.ports.Judge`): the same path as `gef-registry check`, nothing
skipped, nothing shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from gef_registry.admission.ports import Judgement, Part, Submission
from gef_registry.admission.states import Event
from gef_registry.distribution.blobs import BlobStore
from gef_registry.errors import NotFound, VerificationFailed
from gef_registry.facts.cache import DirectoryCache
from gef_registry.facts.limits import Limits
from gef_registry.facts.model import ImageFacts
from gef_registry.oci import media
from gef_registry.oci.manifest import Descriptor
from gef_registry.policy.model import Policy
from gef_registry.policy.verdict import Decision, Verdict
from gef_registry.report import json
from gef_registry.report.model import Subject, compose
from gef_registry.wiring import judging
from gef_registry.wiring.embedded import EmbeddedSource

EVENTS = {
    Decision.ADMIT: Event.PASSED,
    Decision.REVIEW: Event.NEEDS_REVIEW,
    Decision.DENY: Event.REFUSED,
    Decision.UNDECIDED: Event.NOT_DECIDED,
}


class EmbeddedJudge:
    """One policy, one store of bytes, one cache of facts."""

    def __init__(
        self, blobs: BlobStore, policy: Policy, cache: Path, now: Callable[[], datetime], limits: Limits | None = None
    ) -> None:
        self._blobs = blobs
        self._policy = policy
        self._cache = DirectoryCache(cache)
        self._now = now
        self._limits = limits

    async def judge(self, submission: Submission) -> Judgement:
        request = submission.request
        root = Descriptor(request.media_type, request.digest, request.size)
        source = EmbeddedSource(self._blobs, f"{request.repository}:{request.tag}@{request.digest}", root)
        try:
            judged = await judging.judge(
                source,
                policy=self._policy,
                repository=request.repository,
                at=self._now(),
                cache=self._cache,
                limits=self._limits,
            )
        except (NotFound, VerificationFailed) as error:
            # The candidate's bytes are gone or were altered since the push: nobody can say what it is (P3).
            return self._unreadable(source, root, str(error))
        return Judgement(
            event=EVENTS[judged.verdict.decision],
            decision=judged.verdict.decision,
            reasons=judged.verdict.reasons,
            approvals=judged.verdict.approvals,
            policy_name=self._policy.name,
            policy_digest=self._policy.digest,
            report=judged.report_bytes,
            service=judged.service,
            parts=parts_of(judged.facts),
        )

    def _unreadable(self, source: EmbeddedSource, root: Descriptor, reason: str) -> Judgement:
        verdict = Verdict(Decision.UNDECIDED, (reason,), findings=(), results=())
        report = compose(
            subject=Subject(source.name, root.digest, root.media_type, ()),
            verdict=verdict,
            policy=self._policy,
            at=self._now(),
            tools=judging.own_tools(),
        )
        return Judgement(
            event=Event.NOT_DECIDED,
            decision=Decision.UNDECIDED,
            reasons=verdict.reasons,
            approvals=0,
            policy_name=self._policy.name,
            policy_digest=self._policy.digest,
            report=json.render(report.without_timings()),
            service=None,
            parts=(),
        )


def parts_of(facts: ImageFacts) -> tuple[Part, ...]:
    """What gets a statement: the subject first, then, under an index, every child, attestations too."""
    children = [
        Part(p.manifest.digest, p.manifest.media_type, p.manifest.size, p.config_digest, p.name)
        for p in facts.platforms
    ]
    if facts.subject.media_type not in media.INDEXES:
        return tuple(children[:1])
    attestations = [Part(a.manifest.digest, a.manifest.media_type, a.manifest.size) for a in facts.attestations]
    root = Part(facts.subject.digest, facts.subject.media_type, facts.subject.size)
    return tuple({part.digest: part for part in (root, *children, *attestations)}.values())
