"""`gef-registry account`: who may push, review and operate. Works on the data directory, whether or not the gate runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gef_registry.admission.rights import Account, Role
from gef_registry.errors import BadInput, NotFound

if TYPE_CHECKING:
    from gef_registry.store.accounts import SqlAccounts

T = TypeVar("T")
DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The gate's data directory.", show_default=False)
]
DaysOption = Annotated[int | None, typer.Option("--days", min=1, help="The token ends after so many days.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


account = typer.Typer(name="account", no_args_is_help=True, help="Accounts and their tokens.")


def register(app: typer.Typer) -> None:
    """Adds `account …`."""
    app.add_typer(account)


@account.command()
def add(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", metavar="author|reviewer|operator|admin", show_default=False)],
    community: Annotated[
        list[str] | None, typer.Option("--community", metavar="C", help="May be given several times.")
    ] = None,
    days: DaysOption = None,
    data: DataOption = None,
) -> None:
    """Add an account; prints its registry token (the password of docker login), which is shown only now."""

    async def act(accounts: SqlAccounts) -> str:
        added = await accounts.add(name, parse_role(role), community or [])
        return await accounts.issue(added.name, "registry", expires_at=_expiry(days))

    token = _with_accounts(data, act)
    where = f" in {', '.join(community)}" if community else ""
    typer.echo(f"{name} ({role}{where}), registry token: {token}")


@account.command()
def token(
    name: NameArgument,
    registry: Annotated[
        bool, typer.Option("--registry", help="A new registry token instead of one for the API.")
    ] = False,
    days: DaysOption = None,
    data: DataOption = None,
) -> None:
    """Issue a token for the API; it is shown only now."""
    kind = "registry" if registry else "api"

    async def act(accounts: SqlAccounts) -> str:
        return await accounts.issue(name, kind, expires_at=_expiry(days))

    typer.echo(f"{name}, {'registry' if registry else 'API'} token: {_with_accounts(data, act)}")


@account.command(name="list")
def show_all(data: DataOption = None) -> None:
    """List the accounts."""

    async def act(accounts: SqlAccounts) -> list[Account]:
        return await accounts.all()

    for one in _with_accounts(data, act):
        typer.echo(f"{one.name:<24} {one.role:<9} {', '.join(sorted(one.communities)) or '-'}")


@account.command()
def disable(name: NameArgument, data: DataOption = None) -> None:
    """End an account and its tokens; its name stays taken."""

    async def act(accounts: SqlAccounts) -> None:
        await accounts.disable(name)

    _with_accounts(data, act)
    typer.echo(f"{name} is disabled")


def parse_role(text: str) -> Role:
    """Raises BadInput."""
    try:
        return Role(text)
    except ValueError as error:
        raise BadInput(f"--role {text[:40]!r} is none of {', '.join(Role)}") from error


def _expiry(days: int | None) -> datetime | None:
    from datetime import UTC

    return datetime.now(UTC) + timedelta(days=days) if days is not None else None


def _with_accounts(data: Path | None, act: Callable[[SqlAccounts], Awaitable[T]]) -> T:
    import asyncio

    from gef_registry.settings import load_settings
    from gef_registry.store.accounts import SqlAccounts
    from gef_registry.store.backup import DATABASE
    from gef_registry.store.database import Database, sqlite_url

    directory = load_settings(flags={"server.data": data}).server.data
    if directory.exists() and not directory.is_dir():
        raise NotFound(f"{directory} is not a directory")

    if not (directory / DATABASE).exists():
        typer.echo(f"note: there is no gate in {directory} yet; it begins there now", err=True)

    async def run() -> T:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = await Database.open(sqlite_url(directory.absolute() / DATABASE))
        try:
            return await act(SqlAccounts(database))
        finally:
            await database.close()

    return asyncio.run(run())
