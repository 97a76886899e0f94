"""What the API says: submissions, reviews and revocations as JSON values. Pure.

Outsiders see what the gate did; insiders (`visibility.is_insider`) also who pushed, who reviewed and what they wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gef_registry.admission.ports import Submission
from gef_registry.admission.review import Review
from gef_registry.admission.revocation import RevocationRecord
from gef_registry.admission.rights import Account, reviewed_prefixes


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds: `2026-11-22T10:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def submission_document(submission: Submission, *, insider: bool) -> dict[str, Any]:
    request = submission.request
    document: dict[str, Any] = {
        "id": submission.id,
        "repository": request.repository,
        "tag": request.tag,
        "digest": str(request.digest),
        "media_type": request.media_type,
        "state": submission.state.value,
        "decision": submission.decision,
        "reasons": list(submission.reasons),
        "approvals_needed": submission.approvals,
        "policy": _policy(submission),
        "report": str(submission.report_digest) if submission.report_digest else None,
        "created_at": timestamp(submission.created_at),
        "updated_at": timestamp(submission.updated_at),
        "links": {"self": f"/api/v1/submissions/{submission.id}", "page": f"/submissions/{submission.id}"},
    }
    if submission.report_digest:
        document["links"]["report"] = f"/api/v1/reports/{submission.report_digest}"
    if insider:
        document |= {"account": request.account, "held_in": request.held_in, "source": request.source}
    return document


def _policy(submission: Submission) -> dict[str, str] | None:
    if submission.policy_name is None or submission.policy_digest is None:
        return None
    return {"name": submission.policy_name, "digest": str(submission.policy_digest)}


def reviews_documents(reviews: Sequence[Review], *, insider: bool) -> list[dict[str, Any]]:
    return [
        {"decision": review.opinion.value, "at": timestamp(review.at)}
        | ({"reviewer": review.reviewer, "comment": review.comment} if insider else {})
        for review in reviews
    ]


def revocation_document(record: RevocationRecord) -> dict[str, Any]:
    return {
        "digest": str(record.digest),
        "reason": record.reason,
        "by": record.by,
        "at": timestamp(record.at),
        "log_index": record.index,
        "applied": record.applied,
    }


def account_document(account: Account) -> dict[str, Any]:
    """`reviews` lists prefixes of repositories; "" means all."""
    return {
        "name": account.name,
        "role": account.role.value,
        "communities": sorted(account.communities),
        "reviews": list(reviewed_prefixes(account)),
    }
