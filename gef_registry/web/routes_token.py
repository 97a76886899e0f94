"""`/token`: what clients ask before they pull or push (distribution "Token Authentication"; POST is its OAuth2 form).

Anonymous gets what everybody may do. Wrong credentials are 401; a missing right is never an error, the token just lacks it.
Only the password grant is taken: there are no refresh tokens here, and clients fall back on a 404.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from gef_registry.admission.rights import Account
from gef_registry.distribution.codes import Code, Refusal
from gef_registry.errors import BadInput, GefError
from gef_registry.web.answers import PRIVATE, json_answer
from gef_registry.web.bodies import MAX_JSON_BYTES, read_body
from gef_registry.web.callers import REGISTRY, Callers, basic
from gef_registry.web.problems import Unauthorized, headers_of
from gef_registry.web.text import plain
from gef_registry.web.token import TokenIssuer, parse_scopes

_FORM = ("application/x-www-form-urlencoded",)


class TokenRoutes:
    """Answers errors as the registry does: `{"errors": [{code, message}]}`."""

    def __init__(self, callers: Callers, issuer: TokenIssuer) -> None:
        self._callers = callers
        self._issuer = issuer

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/token", self.get), web.post("/token", self.post)]

    async def get(self, request: web.Request) -> web.Response:
        try:
            account = await self._callers.optional(request, kinds=REGISTRY)
        except GefError as error:
            return _refused(error)
        return self._token(account, request.query.getall("scope", []))

    async def post(self, request: web.Request) -> web.Response:
        try:
            form = _fields(await read_body(request, _FORM, max_bytes=MAX_JSON_BYTES))
            if form.get("grant_type", [""])[0] != "password":
                return _answer(Refusal(Code.UNSUPPORTED, "only the password grant is offered here", status=404))
            name, secret = form.get("username", [""])[0], form.get("password", [""])[0]
            account = await self._callers.account(request, basic(name, secret), kinds=REGISTRY)
        except GefError as error:
            return _refused(error)
        scopes = form.get("scope", [])
        return self._token(account, scopes, {"scope": " ".join(scopes)})

    def _token(
        self, account: Account | None, scopes: Iterable[str], more: dict[str, Any] | None = None
    ) -> web.Response:
        document = self._issuer.issue(account, parse_scopes(scopes))
        return json_answer({**document, **(more or {})}, headers=PRIVATE)


def _fields(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=1000, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise BadInput("the form cannot be read") from error


def _refused(error: GefError) -> web.Response:
    if error.http_status == 429:
        refusal = Refusal(Code.TOOMANYREQUESTS, plain(str(error)), headers=headers_of(error))
    elif isinstance(error, Unauthorized):
        refusal = Refusal(
            Code.UNAUTHORIZED, plain(str(error)), headers={"WWW-Authenticate": 'Basic realm="gef-registry"'}
        )
    elif error.http_status >= 500:
        refusal = Refusal(Code.UNAVAILABLE, "accounts cannot be read now", headers={"Retry-After": "5"})
    else:
        refusal = Refusal(Code.UNSUPPORTED, plain(str(error)), status=error.http_status)
    return _answer(refusal)


def _answer(refusal: Refusal) -> web.Response:
    headers = {"Cache-Control": "no-store", **refusal.headers}
    return web.Response(status=refusal.status, body=refusal.body, content_type="application/json", headers=headers)
