"""A folded view as bytes, so that a host with a long log need not verify every old signature at each start.

The bytes are bound to what they were folded from by `key`: the key set, the signed root, all statements and the version
of the program. Another key, or bytes that are not exactly a view, and the log is folded again. Whoever can write them
can also write the pin beside them, so they widen nobody's trust.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from gef_registry import __version__
from gef_registry.enforcement.view import Admitted, LogEntry, Problem, ProblemKind, Revoked, View
from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest
from gef_registry.signing.revocation import Revocation
from gef_registry.signing.statement import Admission

FOLD_VERSION = 1
_CHECKSUM = 64
_ADMISSION = tuple(field.name for field in fields(Admission))
_DIGEST = {"digest", "index_digest", "policy_digest", "report_digest"}
_DIGESTS = {"child_digests", "config_digests"}


def fold_key(keyset_raw: bytes, root: bytes, entries: Iterable[LogEntry]) -> str:
    """What a fold depends on, in 64 hex digits; the leaves are in the root."""
    state = hashlib.sha256(f"{FOLD_VERSION} {__version__}\n".encode())
    state.update(hashlib.sha256(keyset_raw).digest() + root)
    for entry in entries:
        state.update(len(entry.statement).to_bytes(4, "big") + entry.statement)
    return state.hexdigest()


def encode_view(view: View, key: str) -> bytes:
    document = {
        "key": key,
        "size": view.size,
        "cosigned_at": view.cosigned_at,
        "admissions": [[a.index, _encode(a.admission)] for found in view.admissions.values() for a in found],
        "revocations": [
            [r.index, str(r.revocation.digest), r.revocation.reason, r.revocation.revoked_at, r.revocation.revoked_by]
            for r in view.revocations.values()
        ],
        "names": {name: str(digest) for name, digest in view.names.items()},
        "image_ids": {str(digest): [str(owner) for owner in owners] for digest, owners in view.image_ids.items()},
        "problems": [[p.index, p.kind.value, p.message] for p in view.problems],
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    return hashlib.sha256(body).hexdigest().encode() + body


def decode_view(data: bytes, key: str) -> View | None:
    """The view, None when these are not the whole bytes of one folded from what `key` stands for."""
    checksum, body = data[:_CHECKSUM], data[_CHECKSUM:]
    if not hmac.compare_digest(checksum, hashlib.sha256(body).hexdigest().encode()):
        return None
    try:
        document = json.loads(body)
        return _view(document) if document["key"] == key else None
    except (ValueError, TypeError, KeyError, LookupError, BadInput):
        return None


def _view(document: dict[str, Any]) -> View:
    admissions: dict[Digest, tuple[Admitted, ...]] = {}
    for index, values in document["admissions"]:
        admission = _decode(values)
        admissions[admission.digest] = (*admissions.get(admission.digest, ()), Admitted(index, admission))
    revocations = {}
    for index, digest, reason, revoked_at, revoked_by in document["revocations"]:
        revocation = Revocation(Digest.parse(digest), reason, revoked_at, revoked_by)
        revocations[revocation.digest] = Revoked(index, revocation)
    return View(
        size=document["size"],
        cosigned_at=document["cosigned_at"],
        admissions=MappingProxyType(admissions),
        revocations=MappingProxyType(revocations),
        names=MappingProxyType({name: Digest.parse(digest) for name, digest in document["names"].items()}),
        image_ids=MappingProxyType(
            {Digest.parse(d): tuple(map(Digest.parse, owners)) for d, owners in document["image_ids"].items()}
        ),
        problems=tuple(Problem(index, ProblemKind(kind), message) for index, kind, message in document["problems"]),
    )


def _encode(admission: Admission) -> list[Any]:
    return [_plain(name, getattr(admission, name)) for name in _ADMISSION]


def _plain(name: str, value: Any) -> Any:
    if name in _DIGEST:
        return str(value)
    return [str(digest) for digest in value] if name in _DIGESTS else value


def _decode(values: list[Any]) -> Admission:
    return Admission(**{name: _value(name, value) for name, value in zip(_ADMISSION, values, strict=True)})


def _value(name: str, value: Any) -> Any:
    if name in _DIGEST:
        return Digest.parse(value)
    return tuple(map(Digest.parse, value)) if name in _DIGESTS else value
