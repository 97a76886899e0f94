"""What a gate's log says, read straight from its files: to judge the gate while it is dead, or faster than it answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path


def logged_statements(data: Path) -> list[bytes]:
    """The statement of each leaf that the published checkpoint covers, in order; of an envelope, what was signed."""
    log = data / "log"
    try:
        size = int((log / "checkpoint").read_text().splitlines()[1])
    except FileNotFoundError:
        return []
    ids = b"".join(file.read_bytes() for file in sorted((log / "statement-ids").rglob("*")) if file.is_file())
    found = []
    for index in range(size):
        name = ids[32 * index : 32 * index + 32].hex()
        found.append(_signed((log / "statement" / name[:2] / name).read_bytes()))
    return found


def names_digest(statement: bytes, digest: str) -> bool:
    """Whether a statement speaks of a manifest digest."""
    return digest.removeprefix("sha256:").encode() in statement


def is_logged(data: Path, digest: str) -> bool:
    return any(names_digest(statement, digest) for statement in logged_statements(data))


def _signed(statement: bytes) -> bytes:
    try:
        document = json.loads(statement)
    except ValueError:
        return statement
    payload = document.get("payload") if isinstance(document, dict) else None
    return base64.b64decode(payload) if isinstance(payload, str) else statement
