"""What a registry answered, and which error of ours it is. Pure.

Texts from a registry are shown to people: at most three, short, without control characters, and with every secret that
this client holds taken out, since a hostile server may echo what it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gef_registry.errors import BadInput, Conflict, Denied, GefError, NotFound, Unavailable
from gef_registry.oci import strict_json

MAX_ERROR_BODY = 64 << 10
RETRYABLE = frozenset({408, 429, 502, 503, 504})
_BLOB_MISSING = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole small answer."""

    status: int
    headers: Mapping[str, str] = field(hash=False)
    body: bytes
    url: str


def error_of(
    status: int, body: bytes, what: str, *, redact: Callable[[str], str] = str, retry_after: str | None = None
) -> GefError:
    """The error for an answer that is not a success. `what` says which request it was."""
    codes, text = _errors(body)
    said = f": {redact(text)}" if text else ""
    if status in (400, 404) and codes & _BLOB_MISSING:
        return NotFound(f"{what}: the registry lacks a blob it needs{said}")
    match status:
        case 401:
            return Denied(f"{what}: not authenticated (401){said}", hint="log in to the registry: docker login HOST")
        case 403:
            return Denied(f"{what}: refused (403){said}")
        case 404 | 410:
            return NotFound(f"{what}: not found ({status}){said}")
        case 405 | 501:
            return Denied(f"{what}: the registry does not do this ({status}){said}")
        case 409 | 412:
            return Conflict(f"{what}: refused, it contradicts what is there ({status}){said}")
        case 429:
            later = f"it asks to come back after {retry_after[:40]} s" if retry_after else "try again later"
            return Unavailable(f"{what}: too many requests (429){said}", hint=later)
        case 400 | 413 | 415 | 422:
            return BadInput(f"{what}: the registry does not accept it ({status}){said}")
        case _:
            return Unavailable(f"{what}: the registry answered {status}{said}")


def _errors(body: bytes) -> tuple[set[str], str]:
    """Codes and readable text of an error body of the distribution specification; nothing for any other body."""
    try:
        document = strict_json.load_object(body, what="error body", max_bytes=MAX_ERROR_BODY)
    except BadInput:
        return set(), ""
    errors: Any = document.get("errors")
    if not isinstance(errors, list):
        return set(), ""
    entries = [entry for entry in errors[:3] if isinstance(entry, dict)]
    codes = {code for entry in entries if isinstance(code := entry.get("code"), str)}
    texts = [
        " ".join(filter(None, (_clean(entry.get("code"), 60), _clean(entry.get("message"), 4000)))) for entry in entries
    ]
    return codes, "; ".join(filter(None, texts))


def _clean(value: object, length: int) -> str:
    return _CONTROL.sub(" ", value)[:length].strip() if isinstance(value, str) else ""
