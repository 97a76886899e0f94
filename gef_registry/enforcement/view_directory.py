"""A host's view on disk: the pin, the key set, and a verbatim copy of the log as far as this host has verified it.

    pin.json                       {"gate": URL, "rootFingerprint": "sha256:…"}
    keyset.json                    the newest key set seen
    tile/entries/<N>[.p/<W>]       entry bundles, as in the log
    statements/<N>                 their statements, a line each, empty where the log withholds one
    checkpoint                     the newest checkpoint; written last: it is what the rest is read up to
    cosigned                       the newest checkpoint that was cosigned, when `checkpoint` is not
    folded                         what all this folds to, bound to it by a hash (view_codec); may be missing
    evidence/<time>-<what>-<n>     signed notes that contradict each other, never removed here
    lock

Every file appears whole and durable or not at all. Nothing here verifies; `Follower.load` does, each time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gef_registry.enforcement.view import LogEntry
from gef_registry.errors import BadInput, Unavailable, VerificationFailed
from gef_registry.oci import strict_json
from gef_registry.transparency.layout import statements_path
from gef_registry.transparency.tiles import TILE_WIDTH, bundles_between, decode_bundle, encode_bundle

MAX_FILE_BYTES = 1 << 26
MAX_EVIDENCE = 100


@dataclass(frozen=True, slots=True)
class Pin:
    """Which gate this host follows, by the fingerprint of its root key."""

    gate: str
    root_fingerprint: str


class ViewDirectory:
    """The files of one view. Raises Unavailable when the disk fails."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process changes a view at a time. Raises Unavailable when another one does."""
        with self._translated():
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Unavailable(f"the view in {self.root} is being updated by another process") from error
            yield
        finally:
            os.close(descriptor)

    def read(self, name: str) -> bytes | None:
        """A whole file, None when there is none."""
        with self._translated():
            try:
                with (self.root / name).open("rb") as file:
                    data = file.read(MAX_FILE_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if len(data) > MAX_FILE_BYTES:
            raise VerificationFailed(f"{self.root / name} is larger than any file of a view")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file, atomically and durably."""
        path = self.root / name
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._sync_parents(path.parent)

    def pin(self) -> Pin | None:
        """Which gate is followed, None before `host init`. Raises VerificationFailed for a damaged file."""
        data = self.read("pin.json")
        if data is None:
            return None
        try:
            document = strict_json.load_object(data, what=str(self.root / "pin.json"))
        except BadInput as error:
            raise VerificationFailed(error.message) from error
        gate, fingerprint = document.get("gate"), document.get("rootFingerprint")
        if not isinstance(gate, str) or not isinstance(fingerprint, str):
            raise VerificationFailed(f"{self.root / 'pin.json'}: gate or rootFingerprint is missing")
        return Pin(gate, fingerprint)

    def write_pin(self, pin: Pin) -> None:
        document = {"gate": pin.gate, "rootFingerprint": pin.root_fingerprint}
        self.write("pin.json", json.dumps(document, indent=1).encode() + b"\n")

    def entries(self, size: int, start: int = 0) -> Iterator[LogEntry]:
        """The first `size` entries, or those from the bundle of entry `start` on.

        Raises VerificationFailed when files are missing, short or damaged.
        """
        for bundle in bundles_between(start, size):
            data, lines = self.read(bundle.path), self.read(statements_path(bundle.index))
            if data is None or lines is None:
                raise VerificationFailed(f"{self.root}: {bundle.path} or its statements are missing", hint=_REPAIR)
            leaves, statements = decode_bundle(data, bundle.width), lines.split(b"\n")[:-1]
            if len(statements) < bundle.width:
                raise VerificationFailed(f"{self.root}: {statements_path(bundle.index)} is cut off", hint=_REPAIR)
            first = bundle.index * TILE_WIDTH
            for offset, (leaf, statement) in enumerate(zip(leaves, statements, strict=False)):
                yield LogEntry(first + offset, leaf, statement)

    def write_entries(self, entries: Sequence[LogEntry]) -> None:
        """The bundles that these entries fill; they begin where a bundle begins."""
        for start in range(0, len(entries), TILE_WIDTH):
            part = entries[start : start + TILE_WIDTH]
            (bundle,) = bundles_between(part[0].index, part[-1].index + 1)
            self.write(statements_path(bundle.index), b"".join(entry.statement + b"\n" for entry in part))
            self.write(bundle.path, encode_bundle([entry.leaf for entry in part]))

    def drop_partials(self, size: int) -> None:
        """Removes bundles that a wider one has replaced. Failing is harmless."""
        keep = {bundle.path for bundle in bundles_between(0, size)}
        with contextlib.suppress(OSError):
            for path in (self.root / "tile/entries").rglob("*.p/*"):
                if str(path.relative_to(self.root)) not in keep:
                    path.unlink()

    def keep_evidence(self, what: str, now: int, notes: Iterable[bytes]) -> Path:
        """Stores signed notes that should not exist together; the answer is their directory."""
        directory = self.root / "evidence"
        count = len(list(directory.iterdir())) if directory.is_dir() else 0
        if count < MAX_EVIDENCE:
            for number, note in enumerate(notes):
                self.write(f"evidence/{now}-{what}-{number}", note)
        return directory

    def has_evidence(self, what: str) -> bool:
        with self._translated():
            directory = self.root / "evidence"
            return directory.is_dir() and any(f"-{what}-" in path.name for path in directory.iterdir())

    def _sync_parents(self, directory: Path) -> None:
        for path in (directory, *directory.parents):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if path == self.root:
                return

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"the view in {self.root} cannot be used: {error.strerror or error}") from error


_REPAIR = "remove the view's directory and run `gef-registry host init` again"
