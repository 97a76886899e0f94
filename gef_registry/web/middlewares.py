"""Around every request: an id, a line in the access log, counters; errors as problems; headers on every answer.

The access log holds no query, no header and no body, so no secret. Headers are added when a response is prepared, which
no handler can forget. Nothing here reads `Host`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gef_registry.errors import GefError
from gef_registry.web.metrics import Metrics
from gef_registry.web.problems import REQUEST_ID, problem, problem_of
from gef_registry.web.text import plain

log = logging.getLogger(__name__)
access_log = logging.getLogger("gef_registry.access")

_API_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_MACHINE_PREFIXES = ("/api/", "/log/", "/v2/", "/hooks/", "/token", "/healthz", "/readyz", "/metrics")

ProblemPage = Callable[[int, str, str | None], web.Response]


def is_for_machines(path: str) -> bool:
    """Does whoever asks for this path expect JSON rather than a page?"""
    return path.startswith(_MACHINE_PREFIXES)


def observing(metrics: Metrics, source: Callable[[web.Request], str]) -> Middleware:
    """Names the request, counts it and logs it."""

    @web.middleware
    async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
        REQUEST_ID.set(secrets.token_hex(8))
        began = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        except asyncio.CancelledError:
            status = 499  # the client went away
            raise
        finally:
            seconds = time.perf_counter() - began
            metrics.observe(request, status, seconds)
            path = plain(request.rel_url.raw_path)[:300]
            access_log.info(
                '%s "%s %s" %d %.3fs id=%s',
                source(request),
                request.method[:20],
                path,
                status,
                seconds,
                REQUEST_ID.get(),
            )

    return observe


def answering_problems(page: ProblemPage) -> Middleware:
    """Turns errors into answers: JSON for machines, `page` for people. Routes under `/v2/` speak for themselves."""

    def answer(request: web.Request, error: GefError) -> web.Response:
        if is_for_machines(request.path):
            return problem_of(error)
        return page(error.http_status, error.message, error.hint)

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except GefError as error:
            if error.http_status >= 500:
                log.error(
                    "%s %s: %s (%s)",
                    request.method[:20],
                    plain(request.rel_url.raw_path)[:300],
                    error,
                    REQUEST_ID.get(),
                )
            return answer(request, error)
        except web.HTTPException as error:
            if error.status < 400 or request.path.startswith("/v2/"):
                raise
            return _plain_http(request, error, page)
        except Exception:
            log.exception(
                "%s %s failed (%s)", request.method[:20], plain(request.rel_url.raw_path)[:300], REQUEST_ID.get()
            )
            message = f"the gate failed; its log says why, under {REQUEST_ID.get()}"
            return problem(500, message) if is_for_machines(request.path) else page(500, message, None)

    return answer_problems


def _plain_http(request: web.Request, error: web.HTTPException, page: ProblemPage) -> web.Response:
    """What aiohttp itself refuses: no such path, no such method, an early end."""
    messages = {404: "there is nothing at this address", 405: f"{request.method[:20]} is not supported at this address"}
    message = messages.get(error.status, error.reason or "the request was refused")
    allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    if is_for_machines(request.path):
        return problem(error.status, message, headers=allow)
    response = page(error.status, message, None)
    response.headers.update(allow)
    return response


def secured(*, https: bool) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A signal that puts the security headers on every response, streams included."""

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in SECURITY_HEADERS.items():
            response.headers[name] = value
        response.headers["Content-Security-Policy"] = _API_POLICY if is_for_machines(request.path) else _PAGE_POLICY
        response.headers["X-Request-Id"] = REQUEST_ID.get()
        if https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        response.headers.popall("Server", None)

    return add_headers
