"""A gate's API as commands use it: bounded answers, bounded waiting, TLS except to this machine, no redirects.

A refusal becomes the error of its family, in the gate's words made plain. The token goes nowhere but to the gate that was
named, and stands in no message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar

from gef_registry import __version__
from gef_registry.errors import BadInput, Conflict, Denied, GefError, NotFound, Unavailable, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.policy.wording import plain

MAX_ANSWER_BYTES = 32 << 20
DEFAULT_TIMEOUT_S = 60.0

_FAMILIES: Mapping[int, type[GefError]] = {
    400: BadInput,
    401: Denied,
    403: Denied,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: BadInput,
    415: BadInput,
    429: Unavailable,
}


def gate_address(text: str) -> str:
    """`https://HOST[:PORT]`; plain http only to this machine. A bare host means https, or http on this machine.
    Raises BadInput."""
    scheme, separator, _ = text.partition("://")
    try:
        parts = urlsplit(text if separator else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput(f"{text[:200]!r} is not the address of a gate: {error}") from error
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadInput(f"{text[:200]!r} is not the address of a gate", hint="write https://gate.example.org")
    scheme = scheme.lower() if separator else "http" if _is_this_machine(host) else "https"
    if scheme not in ("http", "https"):
        raise BadInput(f"{scheme[:20]}:// is not spoken to gates", hint="write https://")
    if scheme == "http" and not _is_this_machine(host):
        raise BadInput(f"{host} is another machine, and http would show it your token", hint="write https://")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + (f":{port}" if port is not None else "")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class GateClient:
    """Talks to one gate. Use as an async context manager."""

    def __init__(self, gate: str, token: str | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.gate = gate_address(gate)
        self.has_token = bool(token)
        self._headers = {"Accept": "application/json", "User-Agent": f"gef-registry/{__version__}"}
        if token:
            if not (token.isascii() and token.isprintable()) or len(token) > 4096:
                raise BadInput("the token holds characters that no token has")
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            headers=self._headers, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None, sock_connect=20)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None, *, wait_s: float = 0.0) -> dict[str, Any]:
        """`wait_s` is how long the gate was asked to hold the answer back. Raises by family."""
        return await self._ask("GET", path, query=query, timeout_s=self._timeout_s + wait_s)

    async def post(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", path, document=document, timeout_s=self._timeout_s)

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
        timeout_s: float,
    ) -> dict[str, Any]:
        assert self._session is not None, "used outside `async with`"
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method, self.gate + path, params=query, json=document, allow_redirects=False
                ) as answer,
            ):
                body = await _bounded(answer)
                return self._read(answer, body)
        except TimeoutError as error:
            raise Unavailable(f"{self.gate} did not answer within {timeout_s:g} s", hint="try again") from error
        except (ClientError, OSError) as error:
            raise Unavailable(f"{self.gate} cannot be reached: {_cause(error)}", hint="is the gate running?") from error

    def _read(self, answer: ClientResponse, body: bytes) -> dict[str, Any]:
        what = f"the answer of {self.gate}"
        if answer.status in (200, 201):
            try:
                return strict_json.load_object(body, what=what, max_bytes=MAX_ANSWER_BYTES)
            except BadInput as error:
                raise Unavailable(f"{error.message}; is a gate listening there?") from error
        family = _FAMILIES.get(answer.status, Unavailable)
        message, hint = _words(body)
        if message is None:
            raise Unavailable(
                f"{self.gate} answered {answer.status}, not as a gate does", hint="is a gate listening there?"
            )
        if answer.status == 401 and not self.has_token:
            hint = "give a token: GEF_REGISTRY_TOKEN, made with 'gef-registry account token NAME'"
        raise family(message, hint=hint)


async def _bounded(answer: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 << 10):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise VerificationFailed(f"{answer.url.host} answers with more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _words(body: bytes) -> tuple[str | None, str | None]:
    """The message and hint of a problem; None when it is none."""
    try:
        problem = strict_json.load_object(body, what="a problem", max_bytes=1 << 20).get("error")
    except BadInput:
        return None, None
    if not isinstance(problem, dict) or not isinstance(problem.get("message"), str):
        return None, None
    hint = problem.get("hint")
    return plain(problem["message"])[:4000], plain(hint)[:1000] if isinstance(hint, str) else None


def _cause(error: BaseException) -> str:
    reason = getattr(error, "os_error", None) or error
    return plain(getattr(reason, "strerror", None) or str(reason) or type(reason).__name__)[:300]
