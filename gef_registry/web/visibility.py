"""Who may see what was submitted. Pure.

Everybody sees what is admitted. A submission in any other state exists only for who pushed it and for those who review
its repository; for everybody else it is not there (404), as if it had never been.
"""

from __future__ import annotations

from gef_registry.admission.ports import Submission
from gef_registry.admission.rights import Account, may_review
from gef_registry.admission.states import State


def is_public(submission: Submission) -> bool:
    return submission.state is State.ADMITTED


def is_insider(account: Account | None, submission: Submission) -> bool:
    """Whoever pushed it, or may review it: sees it in any state, with the names of the people concerned."""
    if account is None:
        return False
    return account.name == submission.request.account or may_review(account, submission.request.repository)


def may_see(account: Account | None, submission: Submission) -> bool:
    return is_public(submission) or is_insider(account, submission)
