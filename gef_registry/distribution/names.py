"""The two namespaces of the embedded registry, and the tags in them that are not for users.

`staging/<community>/<service>` is pushed to by the community and judged in the background. A push to
`trusted/<community>/<service>` is itself a submission; what is there is never deleted, and the tags that stand for
digests (`adm-<hex>` keeps an admitted digest; `sha256-<hex>[.sig]` holds signatures) are written by the gate alone.
"""

from __future__ import annotations

from enum import StrEnum

from gef_registry.errors import BadInput, Denied
from gef_registry.oci.reference import is_repository

_RESERVED_PREFIXES = ("adm-", "sha256-", "sha512-")


class Namespace(StrEnum):
    STAGING = "staging"
    TRUSTED = "trusted"


def namespace_of(repository: str) -> Namespace | None:
    """None for a name that is in neither or has no community and service."""
    first, _, rest = repository.partition("/")
    if first not in (Namespace.STAGING, Namespace.TRUSTED) or "/" not in rest:
        return None
    return Namespace(first)


def require_repository(name: str) -> str:
    """Returns `name`, a repository path by the specification's grammar. Raises BadInput."""
    if not is_repository(name):
        raise BadInput(f"{name[:260]!r} is not a repository name")
    return name


def require_namespace(repository: str) -> Namespace:
    """Where a push goes. Raises Denied, saying which names exist."""
    namespace = namespace_of(repository)
    if namespace is None:
        raise Denied(
            f"nothing is kept under {repository[:260]!r}: push to staging/<community>/<service>, "
            "or to trusted/<community>/<service> to submit for admission"
        )
    return namespace


def is_reserved_tag(tag: str) -> bool:
    """Is this a tag of `trusted/` that only the gate writes?"""
    return tag.lower().startswith(_RESERVED_PREFIXES)
