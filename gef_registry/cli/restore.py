"""`gef-registry restore`: a gate out of a backup. It signs nothing until it is confirmed that no larger log exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gef_registry.cli.backup import DataOption, data_directory
from gef_registry.errors import BadInput

if TYPE_CHECKING:
    from gef_registry.wiring.restored import Confirmed


def register(app: typer.Typer) -> None:
    @app.command()
    def restore(
        archive: Annotated[
            Path | None, typer.Argument(metavar="FILE", help="What `backup` wrote.", show_default=False)
        ] = None,
        data: DataOption = None,
        confirm: Annotated[
            bool, typer.Option("--confirm", help="Let a restored gate sign again; see the three ways below.")
        ] = False,
        view: Annotated[
            Path | None, typer.Option("--view", metavar="DIR", help="Compare with the view of a host that follows it.")
        ] = None,
        checkpoint: Annotated[
            Path | None, typer.Option("--checkpoint", metavar="FILE", help="Compare with a checkpoint that was kept.")
        ] = None,
        i_am_certain: Annotated[
            bool, typer.Option("--i-am-certain", help="No host has seen more of its log; you vouch for that.")
        ] = False,
    ) -> None:
        """Restore a backup into a new data directory; later, --confirm that its log is the newest there is.

        A gate that signs from an old backup forks its own log, and hosts refuse it for good. So first look what they
        have seen: restore --confirm with --view, --checkpoint or --i-am-certain.
        """
        directory = data_directory(data)
        if confirm:
            if archive is not None:
                raise BadInput("--confirm is for a gate that was restored before", hint="leave the archive out")
            _print(directory, _confirm(directory, view, checkpoint, i_am_certain))
            return
        if archive is None or view or checkpoint or i_am_certain:
            raise BadInput(
                "name the backup to restore, or --confirm a restored gate", hint="gef-registry restore FILE --data DIR"
            )
        _restore(archive, directory)


def _restore(archive: Path, directory: Path) -> None:
    from gef_registry.store.backup import restore

    made = restore(archive, directory)
    typer.echo(f"{directory}: {made.files} files, {made.bytes} bytes, a log of {made.tree_size} entries")
    typer.echo(
        "It signs nothing yet: run `gef-registry restore --confirm` with a host's --view, a kept --checkpoint, or "
        "--i-am-certain"
    )


def _confirm(directory: Path, view: Path | None, checkpoint: Path | None, i_am_certain: bool) -> Confirmed:
    from gef_registry.wiring import restored

    if [view is not None, checkpoint is not None, i_am_certain].count(True) != 1:
        raise BadInput(
            "--confirm needs one of --view, --checkpoint and --i-am-certain",
            hint="a view of a host that follows this gate is the surest",
        )
    if view is not None:
        return restored.confirm_with_checkpoint(directory, restored.checkpoint_of_view(view))
    if checkpoint is not None:
        return restored.confirm_with_checkpoint(directory, restored.checkpoint_of_file(checkpoint))
    return restored.confirm_by_word(directory)


def _print(directory: Path, confirmed: Confirmed) -> None:
    from gef_registry.signing.fields import rfc3339

    typer.echo(f"{directory} signs again, from a log of {confirmed.size} entries")
    if confirmed.seen_size is not None:
        when = f", cosigned {rfc3339(confirmed.cosigned_at)}" if confirmed.cosigned_at is not None else ""
        typer.echo(f"seen by others: {confirmed.seen_size} entries{when}; what was decided later is not known here")
