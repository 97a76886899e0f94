"""Submissions and reports as a caller may see them; what may not be seen is not there."""

from __future__ import annotations

import asyncio
from typing import Any

from gef_registry.admission.ports import Submission
from gef_registry.admission.rights import Account, Role
from gef_registry.admission.states import State
from gef_registry.errors import BadInput, GefError, NotFound
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.web.ports import Records
from gef_registry.web.visibility import is_insider, is_public, may_see

MAX_REPORT_BYTES = 32 << 20
MAX_LISTED = 500
# A reviewer of some communities reads past those of others.
_MAX_READ = 5000


async def visible(records: Records, submission_id: str, account: Account | None) -> Submission:
    """Raises NotFound, with the same words for what is hidden and for what does not exist."""
    missing = NotFound("there is no such submission, or it is not public and you may not see it")
    try:
        submission = await records.get(submission_id)
    except NotFound:
        raise missing from None
    if not may_see(account, submission):
        raise missing
    return submission


async def listed(
    records: Records,
    account: Account,
    *,
    states: tuple[State, ...] = (),
    repository: str | None = None,
    reviewable: bool = False,
    limit: int = 100,
) -> list[Submission]:
    """The newest first: an author's own; for reviewers and administrators also what they review. `reviewable` leaves out
    one's own, which one may not review."""
    own_only = account.role not in (Role.REVIEWER, Role.ADMIN)
    found = await records.listing(
        states=states, repository=repository, account=account.name if own_only else None, limit=_MAX_READ
    )
    mine = [s for s in found if is_insider(account, s) and not (reviewable and s.request.account == account.name)]
    return mine[: min(limit, MAX_LISTED)]


async def report_of(records: Records, digest: Digest, account: Account | None) -> tuple[bytes, bool]:
    """A report's exact bytes, and whether everybody may have them. Raises NotFound, also for reports of what is hidden."""
    missing = NotFound(f"there is no report {digest}, or it is not public and you may not see it")
    try:
        body = await records.report(digest)
        document = await asyncio.to_thread(_load, body)
        subject = document["subject"]
        about = await records.listing(digest=Digest.parse(subject["digest"]), limit=_MAX_READ)
    except (NotFound, BadInput, KeyError, TypeError):
        raise missing from None
    judged = [submission for submission in about if submission.report_digest == digest]
    if not any(may_see(account, submission) for submission in judged):
        raise missing
    return body, any(is_public(submission) for submission in judged)


def parse_states(words: list[str]) -> tuple[State, ...]:
    """Repeated or comma-joined states. Raises BadInput."""
    try:
        return tuple(State(word) for joined in words for word in joined.split(",") if word)
    except ValueError as error:
        known = ", ".join(state.value for state in State)
        raise BadInput(f"{error}; states are {known}"[:600]) from error


def parse_number(text: str | None, default: int, *, most: int) -> int:
    """A count from a query, from 1 to `most`. Raises BadInput."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= most):
        raise BadInput(f"{text[:40]!r} is not a number from 1 to {most}")
    return int(text)


def parse_report(body: bytes) -> dict[str, object]:
    """A stored report for showing; {} when it cannot be read, which must not hide the submission. Slow for large ones."""
    try:
        return _load(body)
    except GefError:
        return {}


def _load(body: bytes) -> dict[str, Any]:
    return strict_json.load_object(body, what="the report", max_bytes=MAX_REPORT_BYTES)
