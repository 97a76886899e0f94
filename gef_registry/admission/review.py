"""Who may review what, and when a review is complete. Four eyes: never one's own submission.

A single rejection ends a submission; approvals count once for each reviewer, and only from those who still may review.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gef_registry.admission.rights import Account, may_review
from gef_registry.errors import BadInput, Denied


class Opinion(enum.StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Review:
    """One reviewer's opinion on one submission."""

    reviewer: str
    opinion: Opinion
    comment: str
    at: datetime


class Outcome(enum.StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"


def require_reviewer(reviewer: Account, *, submitter: str, repository: str) -> None:
    """Raises Denied when this account may not review this submission."""
    if reviewer.name == submitter:
        raise Denied(f"{reviewer.name} pushed this image; somebody else must review it")
    if not may_review(reviewer, repository):
        raise Denied(f"{reviewer.name} ({reviewer.role}) is not a reviewer of {repository}")


def require_comment(opinion: Opinion, comment: str) -> None:
    """A refusal needs its reason: the author reads it. Raises BadInput."""
    if opinion is Opinion.REJECT and not comment.strip():
        raise BadInput("a rejection needs a reason", hint="say what the author should change")
    if len(comment) > 4000:
        raise BadInput(f"the comment has {len(comment)} characters, at most 4000 are kept")


def outcome(reviews: Sequence[Review], *, submitter: str, quorum: int) -> Outcome:
    """What the reviews so far amount to; `quorum` approvals by different people, none of them the submitter."""
    others = [review for review in reviews if review.reviewer != submitter]
    if any(review.opinion is Opinion.REJECT for review in others):
        return Outcome.REJECTED
    approvers = {review.reviewer for review in others if review.opinion is Opinion.APPROVE}
    return Outcome.APPROVED if len(approvers) >= max(1, quorum) else Outcome.OPEN
