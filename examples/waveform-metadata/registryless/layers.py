"""A tree of files as one layer: sorted, times 0, owners by number; gzip without a name. Equal trees, equal digests.

Heavy layers are kept in a cache directory, each under a key of what it was made from.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO


@dataclass(frozen=True)
class Entry:
    """What stands at a path of the image: a file of this machine, given bytes, a symlink, or a directory."""

    source: Path | None = None
    content: bytes | None = None
    link: str | None = None
    mode: int = 0o644
    owner: int = 0


Tree = Mapping[str, Entry]  # path in the image without leading slash -> entry; parents are implied


@dataclass(frozen=True)
class Layer:
    """A layer in the cache: `file` is gzip; sizes in bytes."""

    file: Path
    digest: str
    diff_id: str
    size: int
    unpacked_size: int
    created_by: str


class _Hashing:
    """A file that hashes and counts what is written to it."""

    def __init__(self, target: BinaryIO | gzip.GzipFile) -> None:
        self.target, self.hash, self.size = target, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.target.write(data)
        self.hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        self.target.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self.hash.hexdigest()}"


def cached_layer(cache: Path, key: str, created_by: str, make: Callable[[], Tree]) -> Layer:
    """The layer kept under `key`, or made from `make()` and kept. Written beside and renamed: never half there;
    hashed again before it is used: a damaged one is made anew."""
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    file, record = cache / f"{name}.tar.gz", cache / f"{name}.json"
    if record.exists() and file.exists():
        kept = Layer(file=file, **json.loads(record.read_text()))
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() == kept.digest[7:]:
                return kept
    cache.mkdir(parents=True, exist_ok=True)
    layer = _write(make(), file, created_by)
    part = record.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps({key: value for key, value in asdict(layer).items() if key != "file"}))
    part.replace(record)
    return layer


def _write(tree: Tree, file: Path, created_by: str) -> Layer:
    part = file.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as raw:
        packed = _Hashing(raw)
        with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=6, mtime=0) as zipped:  # type: ignore[arg-type]
            plain = _Hashing(zipped)
            with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[arg-type]
                for path in sorted(_with_parents(tree)):
                    _add(tar, path, tree.get(path) or Entry(mode=0o755))
    part.replace(file)
    return Layer(file, packed.digest, plain.digest, packed.size, plain.size, created_by)


def _with_parents(tree: Tree) -> set[str]:
    parents = {str(parent) for path in tree for parent in PurePosixPath(path).parents if str(parent) != "."}
    return parents | set(tree)


def _add(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.owner, entry.owner, 0
    if entry.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
        tar.addfile(info)
    elif entry.source is not None:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as content:
            tar.addfile(info, content)
    elif entry.content is not None:
        info.size = len(entry.content)
        tar.addfile(info, BytesIO(entry.content))
    else:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
