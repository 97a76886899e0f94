"""Who is asking the API and the pages: `HttpAccess` behind the limiter. No cookies, so no session to steal or ride."""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

from gef_registry.admission.rights import Account
from gef_registry.errors import Denied
from gef_registry.web.access import HttpAccess
from gef_registry.web.limiter import Limiter
from gef_registry.web.problems import TooManyAttempts, Unauthorized

MAX_CREDENTIALS = 4096


API = ("api",)
REGISTRY = ("registry", "api")


class Callers:
    """Accounts behind requests. `behind_proxy` trusts the last `X-Forwarded-For`, which our own proxy wrote."""

    def __init__(self, access: HttpAccess, limiter: Limiter, *, behind_proxy: bool = False) -> None:
        self._access = access
        self._limiter = limiter
        self._behind_proxy = behind_proxy

    def source(self, request: web.Request) -> str:
        if self._behind_proxy and (forwarded := request.headers.getall("X-Forwarded-For", [])):
            return forwarded[-1].rpartition(",")[2].strip()[:64]
        return request.remote or "unknown"

    async def optional(self, request: web.Request, *, kinds: tuple[str, ...] = API) -> Account | None:
        """The account; None for anonymous. Raises Unauthorized for credentials that are wrong, TooManyAttempts."""
        values = request.headers.getall("Authorization", [])
        if not values:
            return None
        if len(values) > 1:
            raise Unauthorized("several Authorization headers")
        return await self.account(request, values[0], kinds=kinds)

    async def require(self, request: web.Request) -> Account:
        """As `optional`, but anonymous is Unauthorized."""
        account = await self.optional(request)
        if account is None:
            raise Unauthorized(
                "this needs an account", hint="send an API token: Authorization: Bearer gefa_…, or Basic name:token"
            )
        return account

    async def account(self, request: web.Request, authorization: str, *, kinds: tuple[str, ...] = API) -> Account:
        """`kinds` of tokens count. Raises Unauthorized, TooManyAttempts."""
        if len(authorization) > MAX_CREDENTIALS:
            raise Unauthorized("the credentials are too long")
        source, name = self.source(request), _claimed_name(authorization)
        if wait_s := self._limiter.wait_s(source, name):
            raise TooManyAttempts("too many wrong credentials from here", retry_after_s=wait_s)
        try:
            account = await self._access.account(authorization, kinds=kinds)
        except Denied as error:
            self._limiter.failed(source, name)
            raise Unauthorized(error.message, hint=error.hint) from error
        self._limiter.succeeded(source, name)
        return account


def basic(name: str, secret: str) -> str:
    """The header value of Basic credentials."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def _claimed_name(authorization: str) -> str:
    """The name somebody claims, for counting only; "" when there is none to read."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[0][:64]
    except (binascii.Error, UnicodeDecodeError):
        return ""
