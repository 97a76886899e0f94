"""Facts made without reading anything, and a way to run one check over them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from gef_registry.checks.catalogue import BUILT_IN
from gef_registry.checks.model import CheckResult
from gef_registry.facts.model import ImageFacts, Passwd, PasswdState, PlatformFacts
from gef_registry.oci.config import parse_config
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor, Platform
from tests.parts.images import OCI_MANIFEST, canonical

AT = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
SUBJECT = Descriptor(OCI_MANIFEST, Digest.of(b"subject"), 7)


def _facts(
    config: dict[str, Any] | None = None, *, history: list[dict[str, Any]] | None = None, passwd: bytes | None = None,
    unresolved: str = "", os: str = "linux", readable: bool = True, **more: Any,
) -> ImageFacts:  # fmt: skip
    document: dict[str, Any] = {
        "os": os,
        "architecture": "amd64",
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    if history is not None:
        document["history"] = history
    parsed = parse_config(canonical(document)) if readable else None
    state = PasswdState.UNRESOLVED if unresolved else PasswdState.ABSENT if passwd is None else PasswdState.PRESENT
    platform = PlatformFacts(
        platform=Platform(os, "amd64"),
        manifest=SUBJECT,
        config=parsed,
        config_digest=parsed.digest if parsed else None,
        layers=(),
        passwd=Passwd(state, passwd or b"", unresolved),
        **more,
    )
    return ImageFacts(SUBJECT, (platform,))


@pytest.fixture
def make_facts() -> Callable[..., ImageFacts]:
    """`make_facts(config, history=, passwd=, unresolved=, os=, readable=, **platform_fields)`: one platform."""
    return _facts


@pytest.fixture
def inspect() -> Callable[[str, ImageFacts], CheckResult]:
    """`inspect("USR-001", facts)`"""
    checks = {check.info.id: check for check in BUILT_IN}
    return lambda name, facts: checks[name].inspect(facts, AT)
