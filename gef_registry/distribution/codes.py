"""Error codes of the OCI distribution specification 1.1 (section "Error Codes"), their statuses, and the error body.

What clients do with an answer decides what is answered (measured on docker, skopeo, crane, ctr): exactly one error
object; all the text in `message`; `detail` a string or absent; a policy refusal is 403 or 409 `DENIED`, never 400 (skopeo
converts the manifest and pushes other digests) and never 202 (clients print success). `UNKNOWN` and `BLOB_UPLOAD_INVALID`
are not used: crane takes them for temporary and pushes again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from gef_registry.errors import BadInput, Conflict, Denied, GefError, NotFound, Unavailable, VerificationFailed


class Code(StrEnum):
    """The codes this registry answers with. The last four are distribution's, outside the specification's table."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SIZE_INVALID = "SIZE_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    MANIFEST_UNVERIFIED = "MANIFEST_UNVERIFIED"
    RANGE_INVALID = "RANGE_INVALID"
    PAGINATION_NUMBER_INVALID = "PAGINATION_NUMBER_INVALID"
    UNAVAILABLE = "UNAVAILABLE"


STATUS: Mapping[Code, int] = MappingProxyType(
    {
        Code.BLOB_UNKNOWN: 404,
        Code.BLOB_UPLOAD_UNKNOWN: 404,
        Code.DIGEST_INVALID: 400,
        Code.MANIFEST_BLOB_UNKNOWN: 400,
        Code.MANIFEST_INVALID: 400,
        Code.MANIFEST_UNKNOWN: 404,
        Code.NAME_INVALID: 400,
        Code.NAME_UNKNOWN: 404,
        Code.SIZE_INVALID: 413,
        Code.UNAUTHORIZED: 401,
        Code.DENIED: 403,
        Code.UNSUPPORTED: 405,
        Code.TOOMANYREQUESTS: 429,
        Code.MANIFEST_UNVERIFIED: 500,
        Code.RANGE_INVALID: 416,
        Code.PAGINATION_NUMBER_INVALID: 400,
        Code.UNAVAILABLE: 503,
    }
)

# A family of the error tree that nobody translated closer to its cause.
_FAMILIES: tuple[tuple[type[GefError], Code, int], ...] = (
    (BadInput, Code.NAME_INVALID, 400),
    (NotFound, Code.NAME_UNKNOWN, 404),
    (Conflict, Code.DENIED, 409),
    (Denied, Code.DENIED, 403),
    (Unavailable, Code.UNAVAILABLE, 503),
    (VerificationFailed, Code.MANIFEST_UNVERIFIED, 500),
)

RETRY_AFTER_S = 5


class Refusal(GefError):
    """An answer of the protocol other than success: a code, its status, text for the human, headers for the client."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        detail: str = "",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUS[code] if status is None else status
        self.detail = detail
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """`{"errors":[{code, message[, detail]}]}`, one object."""
        error = {"code": str(self.code), "message": self.message}
        if self.detail:
            error["detail"] = self.detail
        return json.dumps({"errors": [error]}, ensure_ascii=False).encode("utf-8", "backslashreplace")


def refusal_of(error: GefError) -> Refusal:
    """What an error of the tree becomes on the wire."""
    if isinstance(error, Refusal):
        return error
    code, status = next(
        ((code, status) for family, code, status in _FAMILIES if isinstance(error, family)),
        (Code.UNAVAILABLE, 500),
    )
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return Refusal(code, str(error), status=status, headers=headers)
