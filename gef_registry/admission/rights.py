"""Who may do what where. Pure: an account and a repository in, rights out.

staging/<community>/<service>   members (authors) push, pull and delete what they pushed
trusted/<community>/<service>   everybody pulls what was admitted; members upload candidates
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gef_registry.errors import BadInput
from gef_registry.oci.reference import is_repository

STAGING, TRUSTED = "staging", "trusted"
PROTECTIVE_PREFIX = "adm-"
HOOK_PREFIX = "hook-"  # submissions that a webhook brought belong to `hook-<sender>`: nobody's account
NOBODY: frozenset[str] = frozenset()


class Role(enum.StrEnum):
    AUTHOR = "author"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody with a name. No communities means, for reviewers and administrators, all; for authors, none."""

    name: str
    role: Role
    communities: frozenset[str] = NOBODY


@dataclass(frozen=True, slots=True)
class ServiceName:
    """`<space>/<community>/<service>`, a repository of the gate's."""

    space: str
    community: str
    service: str

    @classmethod
    def parse(cls, repository: str) -> ServiceName:
        """Raises BadInput, saying which names there are."""
        space, _, rest = repository.partition("/")
        community, _, service = rest.partition("/")
        if not (is_repository(repository) and space in (STAGING, TRUSTED) and community and service):
            raise BadInput(
                f"{repository[:260]!r} is not a name of this registry",
                hint="push to staging/<community>/<service> or trusted/<community>/<service>",
            )
        return cls(space, community, service)

    @property
    def repository(self) -> str:
        return f"{self.space}/{self.community}/{self.service}"

    @property
    def trusted(self) -> str:
        """The trusted repository that this name is, or is promoted to."""
        return f"{TRUSTED}/{self.community}/{self.service}"


def rights(account: Account | None, repository: str) -> frozenset[str]:
    """Actions of the distribution protocol (`pull`, `push`, `delete`) that an account has on a repository."""
    try:
        name = ServiceName.parse(repository)
    except BadInput:
        return NOBODY
    granted = {"pull"} if name.space == TRUSTED else set()
    if account is None:
        return frozenset(granted)
    if may_review(account, repository):
        granted |= {"pull"}
    member = name.community in account.communities
    if (account.role is Role.AUTHOR and member) or (account.role is Role.ADMIN and _covers(account, name)):
        granted |= {"pull", "push"} | ({"delete"} if name.space == STAGING else set())
    return frozenset(granted)


def may_review(account: Account, repository: str) -> bool:
    """Reviewers and administrators, each within the communities they are given (none given: all)."""
    try:
        name = ServiceName.parse(repository)
    except BadInput:
        return False
    return account.role in (Role.REVIEWER, Role.ADMIN) and _covers(account, name)


def reviewed_prefixes(account: Account) -> tuple[str, ...]:
    """Prefixes of repositories whose candidates the account may read; ("",) means all."""
    if account.role not in (Role.REVIEWER, Role.ADMIN):
        return ()
    if not account.communities:
        return ("",)
    return tuple(f"{space}/{c}/" for c in sorted(account.communities) for space in (STAGING, TRUSTED))


def _covers(account: Account, name: ServiceName) -> bool:
    return not account.communities or name.community in account.communities


def is_reserved_tag(tag: str) -> bool:
    """Tags only the gate writes: protective tags, and the referrers and signature tags of digests."""
    return tag.startswith((PROTECTIVE_PREFIX, "sha256-", "sha512-"))


# A name that is meant to move cannot be a name that never does.
MOVING_TAGS = frozenset({"latest", "stable", "edge", "nightly", "main", "master", "dev", "devel", "head", "current"})
