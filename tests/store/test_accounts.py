"""Accounts, tokens, webhook deliveries and the diary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from gef_registry.admission.rights import Account, Role
from gef_registry.errors import BadInput, Conflict, NotFound
from gef_registry.store.accounts import SqlAccounts
from gef_registry.store.diary import SqlDeliveries, SqlDiary
from gef_registry.store.schema import tokens
from tests.fakes.database import MemoryDatabase


@pytest.fixture
def accounts(memory: MemoryDatabase) -> SqlAccounts:
    return SqlAccounts(memory)


async def test_a_token_leads_to_its_account_until_it_ends(accounts: SqlAccounts) -> None:
    ada = await accounts.add("ada", Role.AUTHOR, ["demo"])
    token = await accounts.issue("ada", "registry")
    assert await accounts.owner(token) == ada == Account("ada", Role.AUTHOR, frozenset({"demo"}))
    assert await accounts.owner(token, kinds=("api",)) is None
    assert await accounts.owner(token + "x") is None
    assert await accounts.revoke_tokens("ada") == 1
    assert await accounts.owner(token) is None


async def test_a_token_ends_with_its_time(accounts: SqlAccounts) -> None:
    await accounts.add("ada", Role.AUTHOR, ["demo"])
    now = datetime.now(UTC)
    late = await accounts.issue("ada", "api", expires_at=now + timedelta(hours=1))
    past = await accounts.issue("ada", "api", expires_at=now - timedelta(seconds=1))
    assert await accounts.owner(late) is not None
    assert await accounts.owner(past) is None


async def test_no_token_is_stored(accounts: SqlAccounts, memory: MemoryDatabase) -> None:
    """P8."""
    await accounts.add("ada", Role.AUTHOR, ["demo"])
    token = await accounts.issue("ada", "registry")
    async with memory.read() as connection:
        (row,) = (await connection.execute(select(tokens))).all()
    assert token.startswith("gefr_")
    assert all(token not in str(value) and token[5:] not in str(value) for value in row)


async def test_an_ended_account_opens_nothing_and_its_name_stays_taken(accounts: SqlAccounts) -> None:
    await accounts.add("ada", Role.AUTHOR, ["demo"])
    token = await accounts.issue("ada", "registry")
    await accounts.disable("ada")
    assert await accounts.owner(token) is None
    assert await accounts.all() == []
    with pytest.raises(NotFound):
        await accounts.issue("ada", "registry")
    with pytest.raises(NotFound):
        await accounts.get("ada")
    with pytest.raises(Conflict, match="account 'ada' already"):
        await accounts.add("ada", Role.ADMIN)


@pytest.mark.parametrize("name", ["", "Ada", "a b", "../a", "a\n", "a" * 64, "gate"])
async def test_strange_names_and_the_gates_own_are_refused(accounts: SqlAccounts, name: str) -> None:
    with pytest.raises(BadInput):
        await accounts.add(name, Role.ADMIN)


async def test_an_author_belongs_somewhere(accounts: SqlAccounts) -> None:
    with pytest.raises(BadInput, match="needs a community"):
        await accounts.add("ada", Role.AUTHOR)
    with pytest.raises(BadInput, match="no kind of token"):
        await accounts.issue("ada", "password")
    for ended in (accounts.disable("nobody"), accounts.issue("nobody", "api")):
        with pytest.raises(NotFound):
            await ended


async def test_a_delivery_is_kept_once_and_waits_until_it_is_done(memory: MemoryDatabase) -> None:
    deliveries = SqlDeliveries(memory)
    assert await deliveries.keep("distribution", "event-1", b"body")
    assert not await deliveries.keep("distribution", "event-1", b"body again")
    assert await deliveries.keep("harbor", "event-1", b"body")
    first, second = await deliveries.waiting()
    assert (first.sender, first.body) == ("distribution", b"body")
    await deliveries.done(first.id, "s1")
    assert await deliveries.waiting() == [second]


async def test_the_diary_tells_the_newest_first(memory: MemoryDatabase) -> None:
    diary = SqlDiary(memory)
    await diary.note("rosa", "approve", "s1")
    await diary.note("rosa", "revoke", "sha256:0", "x" * 5000)
    newest, oldest = await diary.latest()
    assert (newest["action"], oldest["action"]) == ("revoke", "approve")
    assert len(newest["detail"]) == 2000
    assert [entry["action"] for entry in await diary.latest(1)] == ["revoke"]
