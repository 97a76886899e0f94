"""The table of problem kinds: ids are stable, complete, and each kind really occurs."""

from __future__ import annotations

import ast
from pathlib import Path

from gef_registry.service import catalogue
from gef_registry.service.catalogue import BY_ID, KINDS

ROOM = Path(catalogue.__file__).parent


def test_ids_count_up_without_gap_and_slugs_are_unique() -> None:
    assert [kind.id for kind in KINDS] == [f"LBL-{n:03d}" for n in range(1, len(KINDS) + 1)]
    assert len({kind.slug for kind in KINDS}) == len(KINDS) == len(BY_ID)


def test_every_kind_says_why_and_what_to_do() -> None:
    for kind in KINDS:
        assert kind.severity in ("high", "medium", "low")
        assert kind.title and kind.rationale.endswith(".") and kind.remediation.endswith(".")


def test_every_kind_is_used_by_the_contract() -> None:
    used = {
        node.attr
        for path in ROOM.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "catalogue"
    }
    named = {name for name, value in vars(catalogue).items() if isinstance(value, catalogue.ProblemKind)}
    assert named == used
    assert len(named) == len(KINDS)
