"""The facts of one layer as bytes for a cache, and back. What does not decode exactly is treated as absent."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from gef_registry.errors import BadInput
from gef_registry.facts.limits import Limits
from gef_registry.facts.model import RULES_VERSION, KeptFile, KeySighting, LayerContent
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor

MAX_BYTES = 256 << 20


def cache_key(descriptor: Descriptor, compression: str, limits: Limits) -> str:
    """Names the facts of one blob, 64 hex digits. The blob's own digest is in it, not the diff_id that some
    configuration claims for it: a forged claim must not fetch another layer's facts."""
    text = f"layer/{RULES_VERSION}/{compression}/{descriptor.digest}/{descriptor.size}/{limits.cache_token()}"
    return hashlib.sha256(text.encode()).hexdigest()


def encode(content: LayerContent) -> bytes:
    return strict_json.canonical(
        {
            "diff_id": str(content.diff_id),
            "size": content.size,
            "entries": content.entries,
            "listing": base64.b64encode(content.listing).decode(),
            "keys": [[k.rule, k.encrypted, _armour(k.path), k.offset, k.mark] for k in content.keys],
            "files": [
                [
                    _armour(f.path),
                    f.kind,
                    None if f.content is None else base64.b64encode(f.content).decode(),
                    _armour(f.target),
                ]
                for f in content.files
            ],
        }
    )


def decode(value: bytes) -> LayerContent:
    """Raises BadInput."""
    document = strict_json.load_object(value, what="cached facts", max_bytes=MAX_BYTES)
    try:
        return LayerContent(
            diff_id=Digest.parse(document["diff_id"]),
            size=_count(document["size"]),
            entries=_count(document["entries"]),
            listing=base64.b64decode(document["listing"], validate=True),
            keys=tuple(
                KeySighting(str(rule), encrypted is True, _plain(path), _count(offset), str(mark))
                for rule, encrypted, path, offset, mark in document["keys"]
            ),
            files=tuple(
                KeptFile(
                    _plain(path) or "",
                    str(kind),
                    None if content is None else base64.b64decode(content, validate=True),
                    _plain(target) or "",
                )
                for path, kind, content, target in document["files"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"cached facts are malformed: {type(error).__name__}") from error


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a count")
    return value


def _armour(text: str | None) -> str | None:
    """Paths hold any bytes; base64 keeps them exactly."""
    return None if text is None else base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _plain(text: str | None) -> str | None:
    return None if text is None else base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
