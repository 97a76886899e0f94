"""Who may revoke a digest: whoever reviews every repository that it is admitted, or about to be admitted, in. Pure.

A revocation ends all names of a digest. If reviewing one of them were enough, the reviewer of one community could end the
services of another by having the same digest pushed into their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from gef_registry.admission.ports import Submission
from gef_registry.admission.rights import Account, may_review
from gef_registry.admission.states import TRANSITIONS, Event
from gef_registry.errors import Denied, NotFound
from gef_registry.oci.digest import Digest
from gef_registry.web.visibility import is_public

_REVOCABLE = frozenset(state for state, event in TRANSITIONS if event is Event.REVOCATION)


def require_revoker(account: Account, digest: Digest, submissions: Sequence[Submission]) -> None:
    """`submissions` are all of this digest. Raises NotFound (none that the account may know of), Denied."""
    known = [s for s in submissions if is_public(s) or may_review(account, s.request.repository)]
    if not known:
        raise NotFound(f"{digest} was never submitted here")
    live = [s for s in submissions if s.state in _REVOCABLE] or known
    foreign = [s for s in live if not may_review(account, s.request.repository)]
    if foreign:
        public = sorted({s.request.repository for s in foreign if is_public(s)})
        where = ", ".join(public) or "another repository"
        raise Denied(
            f"{account.name} ({account.role}) may not revoke {digest}: it would also end {where}",
            hint="ask an administrator, or a reviewer of every repository concerned",
        )
