"""May this host run that image? A local lookup in its view; every refusal has its own kind and words.

Digests decide; a name is only a way to a digest, and then the admission under that very name must count. Whatever could
not be established is a refusal. In doubt the stricter reading holds: an index with a revoked child is refused, and so is
an image id that belongs to a revoked manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gef_registry.enforcement.view import Admitted, ProblemKind, Revoked, View
from gef_registry.oci.digest import Digest
from gef_registry.signing.fields import rfc3339

CLOCK_SKEW_S = 300
DEFAULT_MAX_AGE_S = 24 * 3600


class Reason(StrEnum):
    """Why a decision is what it is."""

    ADMITTED = "admitted"
    NO_VIEW = "no_view"
    CLOCK_SET_BACK = "clock_set_back"
    VIEW_TOO_OLD = "view_too_old"
    NAME_UNKNOWN = "name_unknown"
    NAME_MISMATCH = "name_mismatch"
    NEVER_ADMITTED = "never_admitted"
    WITHHELD = "statement_withheld"
    ALTERED = "statement_altered"
    REVOKED = "revoked"
    NOT_YET = "not_yet_valid"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Decision:
    """`digest` is what was decided about (None when a name leads nowhere); `admitted` what allows it."""

    allowed: bool
    reason: Reason
    message: str
    digest: Digest | None = None
    admitted: Admitted | None = None
    revoked: Revoked | None = None
    view_age_s: int | None = None


def decide(
    view: View | None,
    *,
    now: int,
    digest: Digest | None = None,
    name: str | None = None,
    max_age_s: int = DEFAULT_MAX_AGE_S,
) -> Decision:
    """Decides about a manifest digest, an index digest or an image id, about a name `REPOSITORY:TAG`, or about both at
    once, which must then agree.

    1. there is a view, 2. the clock is not behind it, 3. it is young enough, 4. the name leads to the digest,
    5. the digest was admitted, 6. it is not revoked, 7. the admission is in force: not in the future, not expired.
    """
    if view is None:
        return _refuse(Reason.NO_VIEW, "this host has no view of the log yet: run `gef-registry host init`")
    age = now - view.cosigned_at
    decision = _stale(view, now, max_age_s) or _decide(view, now, digest, name)
    return Decision(
        decision.allowed, decision.reason, decision.message, decision.digest, decision.admitted, decision.revoked, age
    )


def _stale(view: View, now: int, max_age_s: int) -> Decision | None:
    age = now - view.cosigned_at
    if age < -CLOCK_SKEW_S:
        return _refuse(
            Reason.CLOCK_SET_BACK,
            f"this host's clock says {rfc3339(max(now, 0))}, but it has seen {rfc3339(view.cosigned_at)} in the log: "
            "the clock was set back",
        )
    if age > max_age_s:
        return _refuse(
            Reason.VIEW_TOO_OLD,
            f"the view is {_hours(age)} old (cosigned {rfc3339(view.cosigned_at)}), allowed are {_hours(max_age_s)}: "
            "a revocation could be missing",
        )
    return None


def _decide(view: View, now: int, digest: Digest | None, name: str | None) -> Decision:
    if name is not None:
        bound = view.names.get(name)
        if bound is None:
            return _unseen(view, Reason.NAME_UNKNOWN, f"no image was ever admitted as {name}", None)
        if digest is not None and not _belongs(view, digest, bound):
            return _refuse(Reason.NAME_MISMATCH, f"{name} is {bound}, not {digest}", digest)
        digest = digest or bound
    if digest is None:
        return _refuse(Reason.NAME_UNKNOWN, "neither a digest nor a name was given")
    if digest in view.admissions or digest in view.revocations:
        return _decide_manifest(view, now, digest, name)
    owners = view.image_ids.get(digest)
    if owners is None:
        return _unseen(view, Reason.NEVER_ADMITTED, f"{digest} was never admitted", digest)
    decisions = [_decide_manifest(view, now, owner, name) for owner in owners]
    return next(
        (d for d in decisions if d.reason is Reason.REVOKED),
        next((d for d in decisions if d.allowed), decisions[0]),
    )


def _belongs(view: View, digest: Digest, root: Digest) -> bool:
    """Is the digest the named one, a child of it, or the image id of one of these?"""
    owners = (digest, *view.image_ids.get(digest, ()))
    return any(
        owner == root or any(a.admission.index_digest == root for a in view.admissions.get(owner, ()))
        for owner in owners
    )


def _decide_manifest(view: View, now: int, digest: Digest, name: str | None) -> Decision:
    admissions = [a for a in view.admissions.get(digest, ()) if name is None or a.admission.name == name]
    live = [a for a in admissions if view.is_live(a)]
    if not live:
        return _not_live(view, digest, admissions, name)
    for admitted in live:
        for child in admitted.admission.child_digests:
            revoked = _revoked_child(view, child)
            if revoked is not None:
                return _refuse_revoked(revoked, f"{digest} contains {child}, which", digest)
    return _in_force(live, now, digest)


def _not_live(view: View, digest: Digest, admissions: Sequence[Admitted], name: str | None) -> Decision:
    revocations = [view.revocations.get(digest), *(view.revocation_of(a.admission) for a in admissions)]
    revoked = max((r for r in revocations if r is not None), key=lambda r: r.index, default=None)
    if revoked is not None:
        return _refuse_revoked(revoked, str(digest) if name is None else f"{name} ({digest})", digest)
    what = f"{digest} was never admitted" + (f" as {name}" if name else "")
    return _unseen(view, Reason.NEVER_ADMITTED, what, digest)


def _revoked_child(view: View, child: Digest) -> Revoked | None:
    revoked = view.revocations.get(child)
    if revoked is None or any(view.is_live(a) for a in view.admissions.get(child, ())):
        return None
    return revoked


def _in_force(live: Sequence[Admitted], now: int, digest: Digest) -> Decision:
    made = [a for a in live if a.admission.verified_at <= now + CLOCK_SKEW_S]
    if not made:
        first = min(a.admission.verified_at for a in live)
        return _refuse(Reason.NOT_YET, f"{digest}: its admission is dated in the future, {rfc3339(first)}", digest)
    valid = [a for a in made if a.admission.expires_at is None or a.admission.expires_at > now]
    if not valid:
        last = max(a.admission.expires_at or 0 for a in made)
        return _refuse(Reason.EXPIRED, f"{digest}: its admission expired at {rfc3339(last)}", digest)
    best = max(valid, key=lambda a: a.index)
    admission = best.admission
    trial = " by a trial gate" if admission.trial else ""
    message = (
        f"{digest} was admitted{trial} as {admission.name} at {rfc3339(admission.verified_at)} "
        f"under the policy {admission.policy_name}, log entry {best.index}"
    )
    return Decision(True, Reason.ADMITTED, message, digest, best)


def _refuse_revoked(revoked: Revoked, subject: str, digest: Digest) -> Decision:
    revocation = revoked.revocation
    message = (
        f"{subject} was revoked at {rfc3339(revocation.revoked_at)} by {revocation.revoked_by}: {revocation.reason} "
        f"(log entry {revoked.index})"
    )
    return Decision(False, Reason.REVOKED, message, digest, revoked=revoked)


def _unseen(view: View, otherwise: Reason, message: str, digest: Digest | None) -> Decision:
    """Not in the view: because it was never admitted, or because the log hides a statement that may be about it."""
    hidden = [p for p in view.problems if p.hides_a_statement]
    if not hidden:
        return _refuse(otherwise, f"{message}, as of log entry {view.size}", digest)
    altered = next((p for p in hidden if p.kind is ProblemKind.ALTERED), None)
    reason = Reason.ALTERED if altered else Reason.WITHHELD
    shown = altered or hidden[0]
    more = f" ({len(hidden)} such entries)" if len(hidden) > 1 else ""
    return _refuse(
        reason, f"{message} in any statement that the log serves; entry {shown.index}: {shown.message}{more}", digest
    )


def _refuse(reason: Reason, message: str, digest: Digest | None = None) -> Decision:
    return Decision(False, reason, message, digest)


def _hours(seconds: int) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds // 60} min"
