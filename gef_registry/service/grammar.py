"""The grammars of label values. Each function takes a value and says what is wrong with it, or what it means.

Every pattern is anchored (`fullmatch`), ASCII and without nested repetition, so none can run away.
"""

from __future__ import annotations

import re

from gef_registry.service.model import is_forbidden

# A port may be neither one of these directories nor anything inside them.
SYSTEM_DIRECTORIES = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr/bin", "/usr/lib", "/usr/sbin", "/var/run",
)  # fmt: skip

MAX_PATH_BYTES = 1024
MAX_FILENAME_BYTES = 255
MAX_MEMORY_BYTES = 1 << 50

_PORT_NUMBER = re.compile(r"[1-9][0-9]?")
_MEDIATYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_TOPIC = re.compile(r"https?://edamontology\.org/topic_[0-9]{4}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CPUS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?")
_GPUS = re.compile(r"0|[1-9][0-9]{0,2}")
_MEMORY = re.compile(r"([1-9][0-9]{0,15})(KiB|MiB|GiB|TiB)?")
_LOOSE_MEMORY = re.compile(r"([1-9][0-9]{0,8})\s*([kmgt])i?b?", re.IGNORECASE)
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,253}(?:[/?#][^\s<>\"'\\]*)?")


def is_port_number(text: str) -> bool:
    return _PORT_NUMBER.fullmatch(text) is not None


def path_defect(path: str) -> str | None:
    """What keeps a path from being a mount point of a port, or None. System directories are asked apart."""
    components = path.split("/")
    if not path:
        return "is empty"
    if not path.startswith("/"):
        return "is not absolute"
    if path.strip("/") == "":
        return "is the root directory"
    if ":" in path:
        return "holds a colon"
    if path != path.strip():
        return "begins or ends with a space"
    if any(component in ("", ".", "..") for component in components[1:]):
        return "is not normalised"
    if len(utf8(path)) > MAX_PATH_BYTES or any(len(utf8(part)) > 255 for part in components):
        return f"is too long (at most {MAX_PATH_BYTES} bytes, 255 for each component)"
    return None


def normalised_path(path: str) -> str | None:
    """The path a wrong one probably means, when that one is valid."""
    kept: list[str] = []
    for component in path.strip().split(":")[0].split("/"):
        if component == "..":
            del kept[-1:]
        elif component not in ("", "."):
            kept.append(component)
    candidate = "/" + "/".join(kept)
    return candidate if path_defect(candidate) is None and system_directory(candidate) is None else None


def system_directory(path: str) -> str | None:
    """The system directory that a valid path is, or lies in."""
    return next((d for d in SYSTEM_DIRECTORIES if path == d or path.startswith(d + "/")), None)


def hidden_system_directory(path: str) -> str | None:
    """A system directory that a mount on this valid path would hide."""
    return next((d for d in SYSTEM_DIRECTORIES if d.startswith(path + "/")), None)


def filename_defect(name: str) -> str | None:
    """What keeps a name from being a plain file name, or None."""
    if not name.strip():
        return "is empty"
    if "/" in name or "\\" in name:
        return "holds a slash"
    if name in (".", ".."):
        return "is a directory"
    if name != name.strip():
        return "begins or ends with a space"
    if len(utf8(name)) > MAX_FILENAME_BYTES:
        return f"is longer than {MAX_FILENAME_BYTES} bytes"
    return None


def plain_filename(name: str) -> str | None:
    """The last component of a path given as a file name, when it is a plain file name."""
    candidate = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    return candidate if filename_defect(candidate) is None and not any(map(is_forbidden, candidate)) else None


def is_mediatype(text: str) -> bool:
    """A media type of RFC 6838 section 4.2, without parameters."""
    return _MEDIATYPE.fullmatch(text) is not None


def is_topic(text: str) -> bool:
    return _TOPIC.fullmatch(text) is not None


def suggest_topic(text: str) -> str | None:
    """The IRI for a topic given as `topic_3070`, `EDAM:3070`, `edam:topic_3070` or a number."""
    match = re.search(r"(?<![0-9])[0-9]{4}(?![0-9])", text)
    return f"http://edamontology.org/topic_{match[0]}" if match else None


def is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def cpus(text: str) -> float | None:
    """A positive number of processors, to a thousandth. None when it is none."""
    return float(text) if _CPUS.fullmatch(text) and float(text) > 0 else None


def gpus(text: str) -> int | None:
    """A whole number of graphics processors. None when it is none."""
    return int(text) if _GPUS.fullmatch(text) else None


def memory_bytes(text: str) -> int | None:
    """`512MiB`, `2GiB`, or plain bytes. None when it is none of these or beyond a pebibyte."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        return None
    amount = int(match[1]) * _UNITS.get(match[2], 1)
    return amount if amount <= MAX_MEMORY_BYTES else None


def suggest_memory(text: str) -> str | None:
    """`2g`, `2 GB` → `2GiB`."""
    match = _LOOSE_MEMORY.fullmatch(text.strip())
    candidate = f"{match[1]}{match[2].upper()}iB" if match else ""
    return candidate if memory_bytes(candidate) else None


def is_web_address(text: str) -> bool:
    """An http(s) address that is safe to show as a link: no user part, no quotes, no spaces."""
    return len(text) <= 2048 and _WEB_ADDRESS.fullmatch(text) is not None


def utf8(text: str) -> bytes:
    """The bytes a file system would see; lone surrogates, which labels may hold, do not raise."""
    return text.encode("utf-8", "surrogatepass")
