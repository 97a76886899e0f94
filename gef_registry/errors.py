"""The one error tree, divided by what the caller does next.

    GefError
    ├── BadInput             the caller's words are wrong: change them          exit 2   HTTP 400
    ├── NotFound             the named thing is not there                       exit 3   HTTP 404
    ├── Conflict             it is there, and says otherwise: do not repeat     exit 1   HTTP 409
    ├── Denied               rules or rights forbid it: ask whoever decides     exit 1   HTTP 403
    ├── Unavailable          a part is down, slow, full or broken: try again    exit 3   HTTP 503
    └── VerificationFailed   bytes, proofs or signatures lie: never retry       exit 1   HTTP 502

A message says what, where, got, expected and what to do next. It never holds a secret: whoever builds one
passes names, digests and sizes, not credentials or bodies. Adapters translate their library's exceptions
here, in one place each, with `raise ... from`. The edges (CLI, HTTP) map a family by `exit_code` and
`http_status` and by nothing else.
"""

from __future__ import annotations

from typing import ClassVar


class GefError(Exception):
    """Base of all errors this project raises on purpose."""

    exit_code: ClassVar[int] = 3
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """`message`: what, where, got, expected. `hint`: what to do next, one sentence."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class BadInput(GefError):
    """The caller's input is malformed or contradictory."""

    exit_code = 2
    http_status = 400


class NotFound(GefError):
    """The named thing does not exist, or the caller may not know that it does."""

    exit_code = 3
    http_status = 404


class Conflict(GefError):
    """The request contradicts what is already recorded (a reserved name, a finished review)."""

    exit_code = 1
    http_status = 409


class Denied(GefError):
    """Policy or rights forbid the request."""

    exit_code = 1
    http_status = 403


class Unavailable(GefError):
    """A part this depends on cannot answer now; the same request may succeed later."""

    exit_code = 3
    http_status = 503


class VerificationFailed(GefError):
    """Content, proof or signature does not match what was promised. Retrying cannot help."""

    exit_code = 1
    http_status = 502
