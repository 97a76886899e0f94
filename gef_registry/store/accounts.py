"""Accounts and their tokens. A token is shown once; what is stored is its hash.

Tokens are 256 random bits, so a plain SHA-256 suffices: there is nothing to guess. Two kinds, told apart by prefix:
`gefr_` is a registry token (the password of `docker login`), `gefa_` one for the API.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gef_registry.admission.rights import HOOK_PREFIX, Account, Role, may_review
from gef_registry.distribution.ports import GATE_ACCOUNT
from gef_registry.errors import BadInput, Conflict, NotFound
from gef_registry.store.database import Database, now_text
from gef_registry.store.schema import accounts, memberships, tokens

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
PREFIXES = {"registry": "gefr_", "api": "gefa_"}


class SqlAccounts:
    """Who there is, and whose a token is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, name: str, role: Role, communities: Iterable[str] = ()) -> Account:
        """Raises BadInput (name, or an author without community), Conflict (name taken)."""
        groups = frozenset(communities)
        _check(name, role, groups)
        async with self._database.write() as connection:
            await _insert(connection, name, role, groups)
        return Account(name, role, groups)

    async def add_with_token(self, name: str, role: Role, token: str, communities: Iterable[str] = ()) -> Account:
        """An account and a token of it that `new_token` made before, both or neither. Raises as `add`."""
        groups = frozenset(communities)
        _check(name, role, groups)
        async with self._database.write() as connection:
            await _insert(connection, name, role, groups)
            await _insert_token(connection, name, token, None)
        return Account(name, role, groups)

    async def get(self, name: str) -> Account:
        """Raises NotFound."""
        async with self._database.read() as connection:
            account = await _account(connection, name)
        if account is None:
            raise NotFound(f"there is no account {name[:80]!r}")
        return account

    async def may_review(self, name: str, repository: str) -> bool:
        """Whether this account exists, is not disabled, and reviews this repository now."""
        async with self._database.read() as connection:
            account = await _account(connection, name)
        return account is not None and may_review(account, repository)

    async def all(self) -> list[Account]:
        async with self._database.read() as connection:
            names = (await connection.execute(select(accounts.c.name).order_by(accounts.c.name))).scalars().all()
            found = [await _account(connection, name) for name in names]
        return [account for account in found if account is not None]

    async def issue(self, name: str, kind: str, *, expires_at: datetime | None = None) -> str:
        """A new token of an account, in clear, for the only time. Raises NotFound (none, or disabled), BadInput."""
        token = new_token(kind)
        async with self._database.write() as connection:
            if await _account(connection, name) is None:
                raise NotFound(f"there is no account {name[:80]!r}")
            await _insert_token(connection, name, token, expires_at)
        return token

    async def owner(self, token: str, *, kinds: tuple[str, ...] = ("registry", "api")) -> Account | None:
        """Whose token this is, if it is valid now."""
        query = select(tokens).where(tokens.c.hash == _hash(token), tokens.c.kind.in_(kinds))
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
            if row is None or (row.expires_at is not None and row.expires_at <= now_text()):
                return None
            return await _account(connection, row.account)

    async def revoke_tokens(self, name: str) -> int:
        """Ends all tokens of an account; returns how many."""
        async with self._database.write() as connection:
            return (await connection.execute(delete(tokens).where(tokens.c.account == name))).rowcount

    async def disable(self, name: str) -> None:
        """Ends an account: its name stays taken, its tokens stop working. Raises NotFound."""
        async with self._database.write() as connection:
            admins = select(accounts.c.name).where(accounts.c.role == Role.ADMIN, accounts.c.disabled.is_(False))
            if list((await connection.execute(admins)).scalars()) == [name]:
                raise Conflict(f"{name} is the only administrator", hint="add another one first")
            result = await connection.execute(update(accounts).where(accounts.c.name == name).values(disabled=True))
            if not result.rowcount:
                raise NotFound(f"there is no account {name[:80]!r}")
            await connection.execute(delete(tokens).where(tokens.c.account == name))


def new_token(kind: str) -> str:
    """A fresh token, which counts for nothing before it is recorded. Raises BadInput."""
    if kind not in PREFIXES:
        raise BadInput(f"{kind[:40]!r} is no kind of token; there are {', '.join(PREFIXES)}")
    return PREFIXES[kind] + secrets.token_urlsafe(32)


def _check(name: str, role: Role, communities: frozenset[str]) -> None:
    for word in (name, *communities):
        if _NAME.fullmatch(word) is None:
            raise BadInput(f"{word[:80]!r} is not a name: lower-case letters, digits, '.', '_', '-', at most 63")
    if name == GATE_ACCOUNT or name.startswith(HOOK_PREFIX):
        raise BadInput(f"the name {name!r} is the gate's own")
    if role is Role.AUTHOR and not communities:
        raise BadInput(f"author {name} needs a community", hint="add --community NAME")


async def _insert(connection: AsyncConnection, name: str, role: Role, communities: frozenset[str]) -> None:
    if await _role(connection, name) is not None:
        raise Conflict(f"there is an account {name!r} already")
    await connection.execute(insert(accounts).values(name=name, role=role, created_at=now_text(), disabled=False))
    for community in sorted(communities):
        await connection.execute(insert(memberships).values(account=name, community=community))


async def _insert_token(connection: AsyncConnection, name: str, token: str, expires_at: datetime | None) -> None:
    kind = next(kind for kind, prefix in PREFIXES.items() if token.startswith(prefix))
    await connection.execute(
        insert(tokens).values(
            hash=_hash(token),
            account=name,
            kind=kind,
            created_at=now_text(),
            expires_at=now_text(expires_at) if expires_at else None,
        )
    )


async def _role(connection: AsyncConnection, name: str) -> str | None:
    return (await connection.execute(select(accounts.c.role).where(accounts.c.name == name))).scalar()


async def _account(connection: AsyncConnection, name: str) -> Account | None:
    row: Any = (await connection.execute(select(accounts).where(accounts.c.name == name))).first()
    if row is None or row.disabled:
        return None
    groups = await connection.execute(select(memberships.c.community).where(memberships.c.account == name))
    return Account(row.name, Role(row.role), frozenset(groups.scalars()))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
