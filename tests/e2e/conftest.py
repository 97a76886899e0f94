"""Gates as real processes, for the tests of the whole chain. `start_gate` makes one; a module may keep one for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.parts.gate import Gate


@pytest.fixture(scope="module")
def start_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Gate]]:
    """`start_gate(policy=None, env=None, arguments=())`: one more gate on a directory of its own; all end with the module."""
    started: list[Gate] = []

    def start(**options: Any) -> Gate:
        directory = tmp_path_factory.mktemp("gate")
        started.append(Gate.start(directory / "data", directory / "gate.log", **options))
        return started[-1]

    yield start
    for gate in started:
        gate.stop()
        # What nobody foresaw is logged as a fault with its traceback: no test may leave one behind.
        assert "Traceback" not in gate.log.read_text(errors="replace"), gate.log.read_text()[-4000:]


@pytest.fixture(scope="module")
def gate(start_gate: Callable[..., Gate]) -> Gate:
    """This module's own gate, under the policy of a loopback trial."""
    return start_gate()
