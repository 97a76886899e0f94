"""Layer tars for tests: exactly the entries a test asks for, in a fixed order, with fixed times.

    layer({"etc/passwd": PASSWD, "bin/tool": FileSpec(b"...", mode=0o755)}, whiteouts=["root/.ssh/id_rsa"])

Names are written verbatim, hostile ones too (`../x`, `/etc/shadow`); parents are added only for plain relative
names. Sorted by name, mtime 0, owner names empty: equal arguments give equal bytes.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

_KINDS = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}

_COMMANDS = (
    "cat", "cp", "dd", "echo", "env", "false", "head", "id", "ip", "ls", "mkdir", "nc", "rm", "seq", "sh", "sha256sum",
    "sleep", "sort", "tail", "test", "touch", "true", "wc", "wget",
)  # fmt: skip

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = b"root:x:0:\nnogroup:x:65534:\n"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One tar entry. `target` is the link's target for symlink and hardlink; `xattrs` become SCHILY.xattr records."""

    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    kind: str = "file"
    target: str = ""
    mtime: int = 0
    xattrs: Mapping[str, str] = field(default_factory=dict)


DIR = FileSpec(kind="dir", mode=0o755)
Entries = Mapping[str, "bytes | str | FileSpec"]


def layer(
    files: Entries | None = None, whiteouts: Iterable[str] = (), opaque: Iterable[str] = ()
) -> bytes:
    """An uncompressed layer tar. `whiteouts`: paths this layer deletes. `opaque`: directories it hides below."""
    entries: dict[str, FileSpec] = {name: _spec(what) for name, what in (files or {}).items()}
    for path in whiteouts:
        pure = PurePosixPath(path)
        entries[str(pure.with_name(".wh." + pure.name))] = FileSpec(mode=0)
    for path in opaque:
        entries[f"{path.rstrip('/')}/.wh..wh..opq"] = FileSpec(mode=0)
    for name in list(entries):
        for parent in _parents(name):
            entries.setdefault(parent, DIR)
    return raw_tar((name, entries[name]) for name in sorted(entries))


def raw_tar(entries: Iterable[tuple[str, FileSpec]]) -> bytes:
    """A tar of exactly these entries in exactly this order; the same name may come twice."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, spec in entries:
            info = tarfile.TarInfo(name)
            info.type = _KINDS[spec.kind]
            info.mode, info.uid, info.gid, info.mtime = spec.mode, spec.uid, spec.gid, spec.mtime
            info.linkname = spec.target
            info.size = len(spec.content) if spec.kind == "file" else 0
            info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in spec.xattrs.items()}
            tar.addfile(info, io.BytesIO(spec.content) if info.size else None)
    return out.getvalue()


@cache
def tiny_rootfs() -> bytes:
    """A base layer of a few hundred bytes that any amd64 engine can start: a static program that exits with 0."""
    return layer(
        {
            "bin/service": FileSpec(_exit_zero_elf(), mode=0o755),
            "etc/passwd": PASSWD,
            "etc/group": GROUP,
            "tmp": FileSpec(kind="dir", mode=0o1777),
        }
    )


@cache
def busybox_rootfs() -> bytes:
    """A base layer with a shell and the usual commands, from Debian's busybox-static. Raises if it is not installed."""
    program = shutil.which("busybox", path="/bin:/usr/bin")
    if program is None:
        raise FileNotFoundError("busybox is not installed: scripts/install-packages (busybox-static)")
    return layer(
        {
            "bin/busybox": FileSpec(Path(program).read_bytes(), mode=0o755),
            **{f"bin/{name}": FileSpec(kind="symlink", target="busybox", mode=0o777) for name in _COMMANDS},
            "etc/passwd": PASSWD,
            "etc/group": GROUP,
            "tmp": FileSpec(kind="dir", mode=0o1777),
        }
    )


def _spec(what: bytes | str | FileSpec) -> FileSpec:
    if isinstance(what, FileSpec):
        return what
    return FileSpec(what.encode() if isinstance(what, str) else what)


def _parents(name: str) -> list[str]:
    if name.startswith("/") or ".." in name.split("/"):
        return []
    return [str(parent) for parent in PurePosixPath(name).parents if str(parent) != "."]


def _exit_zero_elf() -> bytes:
    """A complete x86-64 ELF executable: `mov eax, 60; xor edi, edi; syscall` (exit(0)), one loadable segment."""
    code = bytes.fromhex("b83c000000" "31ff" "0f05")
    base, header = 0x400000, 64 + 56
    size = header + len(code)
    elf = b"\x7fELF\x02\x01\x01" + bytes(9)
    elf += (2).to_bytes(2, "little") + (62).to_bytes(2, "little") + (1).to_bytes(4, "little")
    elf += (base + header).to_bytes(8, "little") + (64).to_bytes(8, "little") + bytes(8) + bytes(4)
    elf += b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 0, 0, 0))
    segment = (1).to_bytes(4, "little") + (5).to_bytes(4, "little") + bytes(8)
    segment += b"".join(n.to_bytes(8, "little") for n in (base, base, size, size, 0x1000))
    return elf + segment + code
