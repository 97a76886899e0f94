"""`gef-registry backup`: the whole gate in one file, also while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The gate's data directory.", show_default=False)
]


def register(app: typer.Typer) -> None:
    @app.command()
    def backup(
        target: Annotated[Path, typer.Argument(metavar="FILE", help="The tar file to write.", show_default=False)],
        data: DataOption = None,
        without_keys: Annotated[
            bool, typer.Option("--without-keys", help="Leave the private keys out; keep them elsewhere.")
        ] = False,
    ) -> None:
        """Back up a gate: records, images, log and keys, as of one moment. The file opens to its owner only."""
        from gef_registry.store.backup import back_up

        made = back_up(data_directory(data), target, with_keys=not without_keys)
        keys = "without keys" if without_keys else "with its private keys: keep it safe"
        typer.echo(f"{target}: {made.files} files, {made.bytes} bytes, a log of {made.tree_size} entries, {keys}")


def data_directory(given: Path | None) -> Path:
    """What `--data` says, else the settings."""
    from gef_registry.settings import load_settings

    return load_settings(flags={"server.data": given}).server.data
