"""Who is asking: reads `Authorization` for the embedded registry (`distribution.ports.Access`) and for the API.

Bearer tokens are registry tokens (a grant for minutes) or API tokens (an account); Basic is an account's name with one of
its tokens. Nothing here trusts a name alone.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping

from gef_registry.admission.rights import Account, reviewed_prefixes, rights
from gef_registry.distribution.ports import Caller, Viewer
from gef_registry.errors import Denied
from gef_registry.web.ports import Accounts, Origin
from gef_registry.web.token import TokenIssuer

MAX_HEADER = 256 * 1024


class RightsOf(Mapping[str, frozenset[str]]):
    """An account's rights, looked up by repository."""

    def __init__(self, account: Account | None) -> None:
        self._account = account

    def __getitem__(self, repository: str) -> frozenset[str]:
        return rights(self._account, repository)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class HttpAccess:
    """See `distribution.ports.Access`."""

    def __init__(self, accounts: Accounts, issuer: TokenIssuer, origin: Origin) -> None:
        self._accounts = accounts
        self._issuer = issuer
        self._origin = origin

    async def caller(self, authorization: str | None, repository: str | None) -> Caller:
        if authorization is None:
            return Caller(Viewer(), RightsOf(None))
        scheme, _, value = authorization[:MAX_HEADER].partition(" ")
        if scheme.lower() == "bearer" and not value.startswith(("gefr_", "gefa_")):
            grant = self._issuer.verify(value.strip())
            return Caller(Viewer(grant.account, grant.reviews), grant.grants)
        account = await self.account(authorization, kinds=("registry", "api"))
        return Caller(Viewer(account.name, reviewed_prefixes(account)), RightsOf(account))

    async def account(self, authorization: str | None, *, kinds: tuple[str, ...] = ("api",)) -> Account:
        """The account behind Basic credentials or a Bearer token of one of these kinds. Raises Denied.

        A registry token lies in every docker configuration: it opens the registry, never the API.
        """
        scheme, _, value = (authorization or "")[:MAX_HEADER].partition(" ")
        if scheme.lower() == "basic":
            name, secret = _basic(value)
            owner = await self._accounts.owner(secret, kinds=kinds)
            if owner is not None and hmac.compare_digest(owner.name.encode(), name.encode()):
                return owner
        elif scheme.lower() == "bearer":
            owner = await self._accounts.owner(value.strip(), kinds=("api",))
            if owner is not None:
                return owner
        raise Denied(
            "the name or the token is wrong, or the token has expired", hint="see 'gef-registry account token'"
        )

    def challenge(self, repository: str | None, actions: str) -> str:
        scope = f',scope="repository:{repository}:{actions}"' if repository else ""
        return f'Bearer realm="{self._origin.realm}",service="{self._origin.service}"{scope}'


def _basic(value: str) -> tuple[str, str]:
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Denied("the Basic credentials are not base64 of name:token") from error
    return name, secret
