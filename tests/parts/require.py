"""What is not on this machine: skipped with the reason, or failed when real parts are required."""

from __future__ import annotations

import os

import pytest


def required() -> bool:
    return os.environ.get("GEF_REGISTRY_REQUIRE_REAL") == "1"


def require(part: str, available: bool, why: str, *, obtainable: bool = True) -> None:
    """Goes on when `available`. Else skips the test, or fails it under GEF_REGISTRY_REQUIRE_REAL=1, unless this
    kind of machine cannot have the part at all (`obtainable` is false)."""
    if available:
        return
    message = f"{part} is needed: {why}"
    if required() and obtainable:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
