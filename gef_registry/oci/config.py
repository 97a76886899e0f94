"""The image configuration (OCI image-spec 1.1 config.md; Docker's is the same for what is read here).

`parse_config` is strict about types of what we use and keeps the rest out; unknown fields never raise. Problems raise
BadInput, which the judging turns into CFG-007, a finding that no waiver lifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gef_registry.errors import BadInput
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Platform

MAX_CONFIG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of build history; `empty_layer` entries changed no files."""

    created_by: str
    created: str | None
    empty_layer: bool
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the image says of itself. `env` keeps order and duplicates as `NAME=value` strings; `digest` is the image id."""

    raw: bytes
    digest: Digest
    platform: Platform
    created: str | None
    user: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    labels: Mapping[str, str]
    volumes: tuple[str, ...]
    exposed_ports: tuple[str, ...]
    diff_ids: tuple[Digest, ...]
    history: tuple[HistoryEntry, ...]

    @property
    def has_command(self) -> bool:
        return bool(self.entrypoint or self.cmd)


def parse_config(raw: bytes, *, what: str = "image configuration") -> ImageConfig:
    """Reads an image configuration. Raises BadInput: not strict JSON, wrong types, NUL bytes, rootfs that is not layers."""
    document = strict_json.load_object(raw, what=what, max_bytes=MAX_CONFIG_BYTES, fold_case=False)
    _refuse_shadowed_keys(document, what)
    config = _object(document, "config", what)
    _refuse_shadowed_keys(config, f"{what}: config")
    rootfs = _object(document, "rootfs", what)
    _refuse_shadowed_keys(rootfs, f"{what}: rootfs")
    if (kind := _text(rootfs, "type", f"{what}: rootfs")) != "layers":
        raise BadInput(f"{what}: rootfs.type is {kind[:100]!r}, expected 'layers'")
    return ImageConfig(
        raw=raw,
        digest=Digest.of(raw),
        platform=Platform(
            _text(document, "os", what), _text(document, "architecture", what), _text(document, "variant", what)
        ),
        created=_text(document, "created", what) or None,
        user=_text(config, "User", what),
        entrypoint=_strings(config, "Entrypoint", what),
        cmd=_strings(config, "Cmd", what),
        env=_strings(config, "Env", what),
        working_dir=_text(config, "WorkingDir", what),
        labels=_labels(_lookup(config, "Labels"), what),
        volumes=_keys(config, "Volumes", what),
        exposed_ports=_keys(config, "ExposedPorts", what),
        diff_ids=tuple(Digest.parse(d) for d in _strings(rootfs, "diff_ids", what)),
        history=_history(_lookup(document, "history"), what),
    )


def _refuse_shadowed_keys(document: dict[str, Any], what: str) -> None:
    """Go reads `user` and `USER` as `User`: two spellings would mean two images, one for us and one for the engine."""
    seen: dict[str, str] = {}
    for key in document:
        other = seen.setdefault(key.casefold(), key)
        if other != key:
            raise BadInput(f"{what}: the keys {other[:100]!r} and {key[:100]!r} differ only in letter case")


def _lookup(document: dict[str, Any], key: str) -> Any:
    """The value under `key`, matched as Go matches it: exactly, else ignoring case."""
    if key in document:
        return document[key]
    folded = key.casefold()
    return next((value for name, value in document.items() if name.casefold() == folded), None)


def _object(document: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    value = _lookup(document, key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadInput(f"{what}: {key} is not an object")
    return value


def _text(document: dict[str, Any], key: str, what: str) -> str:
    value = _lookup(document, key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise BadInput(f"{what}: {key} is not a string without NUL")
    return value


def _strings(document: dict[str, Any], key: str, what: str) -> tuple[str, ...]:
    value = _lookup(document, key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise BadInput(f"{what}: {key} is not a list of strings without NUL")
    return tuple(value)


def _keys(document: dict[str, Any], key: str, what: str) -> tuple[str, ...]:
    return tuple(_object(document, key, what))


def _labels(value: Any, what: str) -> Mapping[str, str]:
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise BadInput(f"{what}: Labels are not a map of strings")
    return MappingProxyType(value)


def _history(value: Any, what: str) -> tuple[HistoryEntry, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadInput(f"{what}: history is not a list of objects")
    return tuple(_history_entry(item, f"{what}: history") for item in value)


def _history_entry(item: dict[str, Any], what: str) -> HistoryEntry:
    _refuse_shadowed_keys(item, what)
    return HistoryEntry(
        created_by=_text(item, "created_by", what),
        created=_text(item, "created", what) or None,
        empty_layer=_lookup(item, "empty_layer") is True,
        comment=_text(item, "comment", what),
    )
