"""Confirming a restored gate: what a host has seen of its log, compared with what the backup holds.

A size alone does not tell a fork, so the checkpoint that was seen is verified with the gate's own log key, and its root
is compared with the tree of the restored entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gef_registry.enforcement.view_directory import ViewDirectory
from gef_registry.errors import NotFound, Unavailable, VerificationFailed
from gef_registry.store.backup import LOG, confirm
from gef_registry.transparency.local import LogDirectory
from gef_registry.transparency.recovery import load_state, tree_is_behind
from gef_registry.wiring.log_inspection import open_trust

MAX_CHECKPOINT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The restored log's size; what was seen of it, and when that was cosigned, if somebody looked."""

    size: int
    seen_size: int | None = None
    cosigned_at: int | None = None


def checkpoint_of_view(directory: Path) -> bytes:
    """The newest checkpoint a host has seen. Raises NotFound when there is no view."""
    note = ViewDirectory(directory).read("checkpoint")
    if note is None:
        raise NotFound(f"there is no view in {directory}", hint="name the directory that `host init` made")
    return note


def checkpoint_of_file(path: Path) -> bytes:
    """A checkpoint that somebody kept. Raises NotFound, Unavailable, VerificationFailed."""
    try:
        with path.open("rb") as file:
            note = file.read(MAX_CHECKPOINT_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if len(note) > MAX_CHECKPOINT_BYTES:
        raise VerificationFailed(f"{path} is larger than any checkpoint")
    return note


def confirm_with_checkpoint(data: Path, note: bytes) -> Confirmed:
    """Lifts the mark when the tree that was seen is in the restored log. Raises VerificationFailed (not a checkpoint of
    this log, or another history of it), Conflict (a larger log was seen, or there is nothing to confirm)."""
    trust = open_trust(data)
    seen = trust.open_checkpoint(note)
    state = load_state(LogDirectory(data / LOG), trust.keyset.log_origin, trust.log, trust.cosigners[0])
    size = seen.checkpoint.size
    if state is not None:
        tree_is_behind(state.tree, state.head.checkpoint, seen.checkpoint)
    return Confirmed(confirm(data, seen_size=size), size, seen.cosigned_at)


def confirm_by_word(data: Path) -> Confirmed:
    """Lifts the mark because somebody vouches that no host has seen a larger log. Raises Conflict."""
    return Confirmed(confirm(data, seen_size=None))
