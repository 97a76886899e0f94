"""Rows of `submissions` and `statements` as the values of `admission.ports`, and what must agree with a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gef_registry.admission.ports import Judgement, LogPosition, Part, Request, SignedStatement, Submission
from gef_registry.admission.review import Opinion, Review
from gef_registry.admission.states import Event, State
from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest

HASH_BYTES = 32


def submission_of(row: Any) -> Submission:
    """A row of `submissions`."""
    return Submission(
        id=row.id,
        request=Request(
            repository=row.repository,
            tag=row.tag,
            digest=Digest.parse(row.digest),
            media_type=row.media_type,
            size=row.size,
            account=row.account,
            held_in=row.held_in,
            source=row.source,
        ),
        state=State(row.state),
        created_at=datetime.fromisoformat(row.created_at),
        updated_at=datetime.fromisoformat(row.updated_at),
        reasons=tuple(json.loads(row.reasons)),
        decision=row.decision,
        approvals=row.approvals,
        policy_name=row.policy_name,
        policy_digest=Digest.parse(row.policy_digest) if row.policy_digest else None,
        report_digest=Digest.parse(row.report_digest) if row.report_digest else None,
    )


def statement_of(row: Any) -> SignedStatement:
    """A row of `statements`."""
    return SignedStatement(
        kind=row.kind,
        part=Digest.parse(row.part),
        statement=bytes(row.statement),
        leaf=bytes(row.leaf),
        signature=bytes(row.signature),
    )


def position_of(row: Any) -> LogPosition:
    """The same row, once it was logged."""
    proof = bytes(row.proof)
    return LogPosition(
        row.log_index, tuple(proof[i : i + HASH_BYTES] for i in range(0, len(proof), HASH_BYTES)), row.checkpoint
    )


def part_document(part: Part) -> dict[str, Any]:
    """A part as it is kept in a submission's row."""
    document = asdict(part)
    document["digest"] = str(part.digest)
    document["config_digest"] = str(part.config_digest) if part.config_digest else None
    return document


def part_of(document: dict[str, Any]) -> Part:
    """The inverse of `part_document`."""
    config = document["config_digest"]
    return Part(
        digest=Digest.parse(document["digest"]),
        media_type=document["media_type"],
        size=document["size"],
        config_digest=Digest.parse(config) if config else None,
        platform=document["platform"],
    )


def review_of(row: Any) -> Review:
    """A row of `reviews`."""
    return Review(row.reviewer, Opinion(row.opinion), row.comment, datetime.fromisoformat(row.at))


def require_parts(row: Any, judgement: Judgement) -> None:
    """What may be admitted begins with the submitted digest itself: nothing is admitted without a statement. Raises BadInput."""
    may_pass = judgement.event in (Event.PASSED, Event.NEEDS_REVIEW)
    if may_pass and (not judgement.parts or str(judgement.parts[0].digest) != row.digest):
        raise BadInput(f"the judgement of {row.id} does not speak of {row.digest}")


def require_statements(row: Any, signed: Sequence[SignedStatement]) -> None:
    """Every part has its statement: nothing is admitted of which the log will not speak. Raises BadInput."""
    parts = {document["digest"] for document in json.loads(row.parts)}
    missing = (parts | {row.digest}) - {str(item.part) for item in signed}
    if missing:
        raise BadInput(f"the statements of {row.id} do not speak of {min(missing)}")
