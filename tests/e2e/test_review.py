"""When a person must decide: the push is told so, a colleague approves or refuses, and the approval alone admits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.parts.dockerd import Dockerd
from tests.parts.gate import Account, Answer, Gate, Host, command
from tests.parts.images import BuiltImage, good_service, write_docker_archive

pytestmark = pytest.mark.real

SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "strict.yaml"
_counter = itertools.count(1)


@pytest.fixture(scope="module")
def gate(start_gate: Callable[..., Gate], tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """Under `strict` with its one approval, but without the scanner it wants: that alone would leave all undecided."""
    policy = tmp_path_factory.mktemp("policy") / "reviewed.yaml"
    text = SHIPPED.read_text()
    assert "approvals: 1" in text
    policy.write_text(without_scanner(text))
    return start_gate(policy=str(policy))


def without_scanner(text: str) -> str:
    return text.replace("vulnerabilities:", "vulnerabilities:", 1)


@pytest.fixture(scope="module")
def people(gate: Gate) -> Mapping[str, Account]:
    names = ("ada", "author", "demo"), ("grace", "reviewer"), ("linus", "reviewer", "elsewhere"), ("rosa", "reviewer")
    return {account.name: account for account in gate.accounts(*names)}
