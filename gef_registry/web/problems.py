"""Errors as HTTP answers: one JSON object, `{"error": {kind, message, hint?, request_id}}`, status by family.

A fault of ours answers 500 without details; the log has them under the same request id. Below are the few statuses that
only HTTP knows, each a subclass of its family in the error tree.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from http import HTTPStatus

from aiohttp import web

from gef_registry.errors import BadInput, Denied, GefError, Unavailable
from gef_registry.web.text import plain

# Of the request that is being answered; log lines may name it too.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="-")


class Unauthorized(Denied):
    """Credentials are missing or wrong."""

    http_status = 401


class TooManyAttempts(Denied):
    """Too many wrong credentials; `retry_after_s` says when to come back."""

    http_status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, hint=f"try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class TooLarge(BadInput):
    """The body exceeds what is read."""

    http_status = 413


class TooSlow(BadInput):
    """The body did not arrive in time."""

    http_status = 408


class WrongContentType(BadInput):
    """The body is of a kind that is not read here."""

    http_status = 415


def kind_of(status: int) -> str:
    """A stable word for programs: `not_found`, `conflict`, …"""
    try:
        return HTTPStatus(status).name.lower()
    except ValueError:
        return "error"


def headers_of(error: GefError) -> dict[str, str]:
    """What a client needs beside the words: when to come back, how to sign in."""
    if isinstance(error, TooManyAttempts):
        return {"Retry-After": str(error.retry_after_s)}
    if error.http_status == HTTPStatus.TOO_MANY_REQUESTS:
        return {"Retry-After": "30"}
    if isinstance(error, Unavailable):
        return {"Retry-After": "5"}
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="gef-registry api"'}
    return {}


def problem(
    status: int, message: str, *, hint: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    error = {"kind": kind_of(status), "message": plain(message), "request_id": REQUEST_ID.get()}
    if hint:
        error["hint"] = plain(hint)
    body = json.dumps({"error": error}, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return web.Response(
        status=status,
        body=body,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem_of(error: GefError) -> web.Response:
    return problem(error.http_status, error.message, hint=error.hint, headers=headers_of(error))
