"""What a caller asks to leave out of a judgement. The gate leaves nothing out; a person at a terminal may."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from gef_registry.checks.model import CheckInfo
from gef_registry.errors import BadInput
from gef_registry.policy.model import VULNERABILITIES, VULNERABILITY_FAMILY


def parse_skips(names: Iterable[str], known: Mapping[str, CheckInfo]) -> frozenset[str]:
    """Check ids, and `vulnerabilities` for all of the scanner's work. Raises BadInput for unknown ids and integrity checks."""
    skipped = set()
    for name in names:
        if name == VULNERABILITIES:
            skipped.add(name)
            continue
        info = known.get(name.upper())
        if info is None:
            near = difflib.get_close_matches(name.upper(), [*known, VULNERABILITIES.upper()], n=1)
            meant = f"did you mean {near[0] if near[0] in known else VULNERABILITIES}? " if near else ""
            raise BadInput(
                f"cannot skip {name[:100]!r}: no check has this id", hint=f"{meant}see `gef-registry checks list`"
            )
        if not info.waivable:
            raise BadInput(f"cannot skip {info.id}: it guards integrity, nothing else means anything without it")
        skipped.add(info.id)
    return frozenset(skipped)


def is_skipped(check: str, skipped: frozenset[str]) -> bool:
    return check in skipped or (check.startswith(VULNERABILITY_FAMILY) and VULNERABILITIES in skipped)
