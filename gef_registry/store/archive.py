"""Reading a backup's tar file: strange members are refused, nothing is written outside the target, nothing twice."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from gef_registry.errors import BadInput, VerificationFailed

_MAX_MEMBERS = 50_000_000
_MAX_CONTENTS_BYTES = 1 << 16
_MAX_NAME = 1024
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(slots=True)
class Members:
    """What was unpacked; `contents` is the table of contents, None while it was not met."""

    files: int = 0
    size: int = 0
    top: set[str] = field(default_factory=set)
    contents: bytes | None = None


def unpack(
    archive: Path, target: Path, allowed: Sequence[str], contents: str, progress: Callable[[int], None] | None
) -> Members:
    """Writes every member below `target`, durably. Raises BadInput (no tar file, or a member no backup has) and
    VerificationFailed (it ends in the middle); OSError when the disk fails."""
    members = Members()
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.name == contents:
                    members.contents = _read(tar, member)
                    continue
                if members.contents is not None or members.files >= _MAX_MEMBERS:
                    raise _strange(member)
                name = _checked(member, allowed)
                _write(target / name, _open(tar, member), 0o600 if name.parts[0] == "keys" else 0o644)
                members.files += 1
                members.size += member.size
                members.top.add(name.parts[0])
                if progress is not None:
                    progress(member.size)
    except tarfile.TarError as error:
        if members.files:
            raise VerificationFailed(f"{archive} is cut off or damaged: the backup is incomplete ({error})") from error
        raise BadInput(f"{archive} is not a backup: {error}") from error
    return members


def _checked(member: tarfile.TarInfo, allowed: Sequence[str]) -> PurePosixPath:
    """The member's name, below one of the allowed first parts. Raises BadInput."""
    name = PurePosixPath(member.name)
    plain = member.type in _PLAIN and not member.issparse() and "\0" not in member.name
    if not plain or len(member.name) > _MAX_NAME or name.is_absolute() or ".." in name.parts or not name.parts:
        raise _strange(member)
    # A name with a dot in it is a file at the top, every other one a directory.
    if name.parts[0] not in allowed or (len(name.parts) == 1) != ("." in name.parts[0]):
        raise _strange(member)
    return name


def _strange(member: tarfile.TarInfo) -> BadInput:
    return BadInput(f"the archive holds {member.name[:200]!r}, which no backup of a gate has, or not there")


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member) if member.type in _PLAIN else None
    if content is None:
        raise _strange(member)
    return content


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    body = _open(tar, member).read(_MAX_CONTENTS_BYTES + 1)
    if len(body) > _MAX_CONTENTS_BYTES:
        raise _strange(member)
    return body


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise BadInput(f"the archive holds {path.name[:200]!r} twice") from error
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(1 << 20):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
