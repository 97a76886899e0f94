"""The gate as the embedded registry sees it (`distribution.ports.Gate`): pushes in, plain answers out.

A push to `staging/` is stored, tagged and judged in the background; its trusted twin gets the same tag when it passes. A
push to `trusted/` waits for the answer. Judging goes on when the client leaves or its time is over.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from gef_registry.admission.desk import Desk, QueueFull, check_trusted_name
from gef_registry.admission.ports import Request, Submission
from gef_registry.admission.rights import STAGING, ServiceName
from gef_registry.admission.states import State
from gef_registry.distribution.ports import PushAnswer
from gef_registry.errors import BadInput, Conflict, Denied, GefError, Unavailable
from gef_registry.oci.manifest import Index, Manifest

log = logging.getLogger(__name__)

WAIT_S = 240.0
MAX_WAITING = 64  # pushes of one account that wait for verdicts at a time


class PushGate:
    """Translates pushes into submissions, and their fate into what a client prints."""

    def __init__(
        self,
        desk: Desk,
        report_url: Callable[[Submission], str],
        *,
        wait_s: float = WAIT_S,
        refuse_work: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._desk = desk
        self._report_url = report_url
        self._wait_s = wait_s
        self._refuse_work = refuse_work
        self._waiting: Counter[str] = Counter()

    async def check_push(self, repository: str, account: str) -> PushAnswer | None:
        try:
            ServiceName.parse(repository)
        except BadInput as error:
            return PushAnswer(403, str(error))
        reason = self._refuse_work()
        return PushAnswer(403, reason) if reason else None

    async def tagged(self, repository: str, tag: str, manifest: Manifest | Index, account: str) -> PushAnswer:
        name = ServiceName.parse(repository)
        request = Request(
            repository=name.trusted,
            tag=tag,
            digest=manifest.digest,
            media_type=manifest.media_type,
            size=len(manifest.raw),
            account=account,
            held_in=repository,
        )
        if name.space == STAGING:
            return await self._staged(repository, request)
        if self._waiting[account] >= MAX_WAITING:
            return PushAnswer(429, f"{account} has {MAX_WAITING} pushes waiting for their verdicts; push again later")
        self._waiting[account] += 1
        try:
            submission = await self._desk.submit(request)
            if submission.state is not State.ADMITTED:
                submission = await self._desk.wait(submission.id, self._wait_s)
        except GefError as error:
            return _refusal(error)
        finally:
            self._waiting[account] -= 1
            if not self._waiting[account]:
                del self._waiting[account]
        return answer(submission, self._report_url(submission))

    async def _staged(self, repository: str, request: Request) -> PushAnswer:
        """The push itself succeeds (the registry then writes the tag); whether it can be judged is told by `status`."""
        try:
            check_trusted_name(request.repository, request.tag)
        except GefError as error:
            log.info("%s:%s is stored, never judged: %s", repository, request.tag, error)
            return PushAnswer(201)
        try:
            if request.digest.algorithm == "sha256" and not is_artifact(request):
                await self._desk.submit(request)
        except (QueueFull, Unavailable) as error:
            return _refusal(error)  # accepted work is work that will be done
        except GefError as error:
            log.info("%s:%s is stored, not judged: %s", repository, request.tag, error)
        return PushAnswer(201)


def is_artifact(request: Request) -> bool:
    """Signatures and other attachments carry tags made of a digest; they are not services."""
    return request.tag.startswith(("sha256-", "sha512-"))


def answer(submission: Submission, report_url: str) -> PushAnswer:
    """What the client of a push to `trusted/` hears, by state."""
    request, reasons = submission.request, "; ".join(submission.reasons)
    name = f"{request.repository}:{request.tag}"
    match submission.state:
        case State.ADMITTED:
            return PushAnswer(201)
        case State.DENIED:
            return PushAnswer(403, f"{name} is denied: {reasons}; report {report_url}", report_url)
        case State.WAITING:
            text = f"{name} is waiting for review ({reasons}); an approval publishes it, with no further push; {report_url}"
            return PushAnswer(403, text, report_url)
        case State.UNDECIDED:
            return PushAnswer(
                403, f"{name} could not be decided, so it is not admitted: {reasons}; {report_url}", report_url
            )
        case State.REJECTED:
            return PushAnswer(403, f"{name} was refused in review: {reasons}; {report_url}", report_url)
        case State.CONFLICT:
            return PushAnswer(409, reasons or f"{name} already means another digest", report_url)
        case State.REVOKED:
            return PushAnswer(403, f"{request.digest} was revoked; push a corrected version", report_url)
        case _:
            text = f"{name} is still judging ({submission.state}); push it again later or watch {report_url}"
            return PushAnswer(403, text, report_url)


def _refusal(error: GefError) -> PushAnswer:
    if isinstance(error, QueueFull):
        return PushAnswer(429, str(error))
    if isinstance(error, Conflict):
        return PushAnswer(409, str(error))
    if isinstance(error, Denied | BadInput):
        return PushAnswer(403, str(error))
    if isinstance(error, Unavailable):
        # docker hides the text of a 503, so the reason travels in a refusal.
        return PushAnswer(403, f"the gate cannot judge now, so nothing is admitted: {error}; push again later")
    raise error
