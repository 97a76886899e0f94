"""All checks there are, as one explicit tuple, and the rules their entries keep.

Others bring more through the entry point group `gef_registry.checks`, each entry a `Check` or a sequence of them;
whoever loads them passes them to `catalogue`, which holds them to the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gef_registry.checks import integrity, labels, vulnerabilities
from gef_registry.checks.check import Check
from gef_registry.checks.guidelines import download_to_shell, env_secrets, private_keys, root_user
from gef_registry.checks.model import CheckInfo
from gef_registry.errors import BadInput

ENTRY_POINT_GROUP = "gef_registry.checks"

BUILT_IN: tuple[Check, ...] = (
    *integrity.CHECKS,
    root_user.CHECK,
    download_to_shell.CHECK,
    private_keys.CHECK,
    env_secrets.CHECK,
    *labels.CHECKS,
    vulnerabilities.CHECK,
)

_ID = re.compile(r"[A-Z]{2,8}-[0-9]{3}", re.ASCII)
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_POLICY_FAMILY = "POL-"  # what a policy itself finds fault with; never a check's


def catalogue(extra: Iterable[Check] = ()) -> tuple[Check, ...]:
    """The built-in checks and the extra ones. Raises BadInput for one that breaks the rules or takes another's id."""
    checks = (*BUILT_IN, *extra)
    ids: set[str] = set()
    slugs: set[str] = set()
    for check in checks:
        if not isinstance(check, Check):
            raise BadInput(f"a plug-in of {ENTRY_POINT_GROUP} gave a {type(check).__name__}, expected a Check")
        info = check.info
        if _ID.fullmatch(info.id) is None or info.id.startswith(_POLICY_FAMILY):
            raise BadInput(
                f"{info.id[:60]!r} is not the id of a check; expected capital letters and three digits, ABC-001"
            )
        if _SLUG.fullmatch(info.slug) is None:
            raise BadInput(f"{info.id}: {info.slug[:60]!r} is not a slug; expected lower-case words joined by hyphens")
        if info.id in ids or info.slug in slugs:
            raise BadInput(f"two checks are called {info.id} or {info.slug}")
        if not (info.title and info.rationale and info.remediation):
            raise BadInput(f"{info.id}: title, rationale and remediation must say something")
        ids.add(info.id)
        slugs.add(info.slug)
    return checks


def known(checks: Iterable[Check] = BUILT_IN) -> Mapping[str, CheckInfo]:
    """The pages by id, in the order of the catalogue: what a policy is read and applied with."""
    return {check.info.id: check.info for check in checks}
