"""A valid label set, and a short way to ask which problems a change of it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from gef_registry.service.contract import parse
from gef_registry.service.model import PREFIX, LabelProblem

VALID = {
    PREFIX + "name": "Clone",
    PREFIX + "description": "Copies its input to its output",
    PREFIX + "version": "1.0.0",
    PREFIX + "input.1.name": "Input data",
    PREFIX + "input.1.path": "/input",
    PREFIX + "input.1.type": "url",
    PREFIX + "output.1.name": "Results",
    PREFIX + "output.1.path": "/output",
}

Judge = Callable[..., tuple[LabelProblem, ...]]


@pytest.fixture
def valid() -> dict[str, str]:
    return dict(VALID)


@pytest.fixture
def judge() -> Judge:
    """judge({"input.1.path": "/x", "version": None}): problems of the valid labels after these changes; None removes.

    Keys are below the prefix; a key with `:` in front stands as it is.
    """

    def problems(changes: Mapping[str, str | None], *, has_command: bool = True) -> tuple[LabelProblem, ...]:
        labels: dict[str, str] = dict(VALID)
        for key, value in changes.items():
            full = key[1:] if key.startswith(":") else PREFIX + key
            if value is None:
                labels.pop(full)
            else:
                labels[full] = value
        parsed = parse(labels, has_command=has_command)
        assert (parsed.service is None) == any(problem.severity == "high" for problem in parsed.problems)
        return parsed.problems

    return problems
