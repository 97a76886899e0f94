"""Names of images: the grammar of distribution/reference, and the five transports as skopeo names them.

    docker://HOST/REPO[:TAG|@DIGEST]   (also without the prefix)
    oci:DIR[:TAG] · oci-archive:FILE[:TAG] · docker-archive:FILE[:NAME:TAG] · docker-daemon:NAME[:TAG|@DIGEST]

A name is parsed once, at the border; what follows carries `Reference` or `ImageName` values.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass

from gef_registry.errors import BadInput
from gef_registry.oci.digest import Digest

MAX_NAME = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?", re.ASCII)
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_IMAGE_ID = re.compile(r"[a-f0-9]{64}", re.ASCII)
_DOCKER_HUB = "docker.io"


def is_repository(text: str) -> bool:
    """Is this a repository path of the distribution specification (without a host)?"""
    return len(text) <= MAX_NAME and _REPOSITORY.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Is this a host name, IPv4 address or bracketed IPv6 address, with an optional port?"""
    if len(text) > MAX_NAME or _HOST.fullmatch(text) is None:
        return False
    name, colon, port = text.rpartition(":")
    if colon and not port.endswith("]") and not 0 < int(port) < 1 << 16:
        return False
    if text.startswith("["):
        with contextlib.suppress(ValueError):
            ipaddress.IPv6Address((text if text.endswith("]") else name)[1:-1])
            return True
        return False
    return True


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository on a registry with a tag, a digest, both or neither."""

    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Docker's reading: no host means Docker Hub, one component there means `library/`. Raises BadInput."""
        rest, digest = text, None
        if "@" in rest:
            rest, _, digest_text = rest.partition("@")
            digest = Digest.parse(digest_text)
        tag = None
        head, colon, last = rest.rpartition(":")
        if colon and "/" not in last:
            rest, tag = head, last
            if not is_tag(tag):
                raise BadInput(
                    f"{text[:300]!r}: {tag[:140]!r} is not a tag; expected [A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}"
                )
        if _IMAGE_ID.fullmatch(rest):
            raise BadInput(f"{text[:300]!r} is an image id, not a name", hint="write docker-daemon:ID")
        host, repository = _split_host(rest)
        if not is_host(host):
            raise BadInput(f"{text[:300]!r}: {host[:260]!r} is not a host name with an optional port")
        if not is_repository(repository):
            raise BadInput(
                f"{text[:300]!r}: {repository[:260]!r} is not a repository name",
                hint="lower-case letters and digits, separated by '.', '_', '__' or '-', in parts joined by '/'",
            )
        return cls(host, repository, tag, digest)

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest if there is one, else the tag, else `latest`."""
        return str(self.digest) if self.digest else self.tag or "latest"

    def at(self, digest: Digest) -> Reference:
        """The same repository, pinned."""
        return Reference(self.host, self.repository, self.tag, digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def _split_host(rest: str) -> tuple[str, str]:
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        host, repository = first, remainder
    else:
        host, repository = _DOCKER_HUB, rest
    if host == "index.docker.io":
        host = _DOCKER_HUB
    if host == _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return host, repository


@dataclass(frozen=True, slots=True)
class RegistryImage:
    """`docker://…`"""

    reference: Reference

    def __str__(self) -> str:
        return f"docker://{self.reference}"


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """`oci:DIR[:TAG]` or, with `archive`, `oci-archive:FILE[:TAG]`. `tag` also takes a digest `@sha256:…`."""

    path: str
    tag: str | None = None
    digest: Digest | None = None
    archive: bool = False

    def __str__(self) -> str:
        suffix = f"@{self.digest}" if self.digest else f":{self.tag}" if self.tag else ""
        return f"oci{'-archive' if self.archive else ''}:{self.path}{suffix}"


@dataclass(frozen=True, slots=True)
class DockerArchiveImage:
    """`docker-archive:FILE[:NAME:TAG]`, what `docker save` writes."""

    path: str
    name: str | None = None

    def __str__(self) -> str:
        return f"docker-archive:{self.path}{':' + self.name if self.name else ''}"


@dataclass(frozen=True, slots=True)
class DaemonImage:
    """`docker-daemon:NAME`, an image in the local engine: a name, a name with a digest, or an image id."""

    name: str

    def __str__(self) -> str:
        return f"docker-daemon:{self.name}"


ImageName = RegistryImage | LayoutImage | DockerArchiveImage | DaemonImage


def parse_image_name(text: str) -> ImageName:
    """Reads any of the five forms. Raises BadInput, naming the forms."""
    if not text or any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
        raise BadInput(f"{text[:300]!r} is not an image name", hint=_FORMS)
    transport, _, rest = text.partition(":")
    if text.startswith("docker://"):
        return RegistryImage(Reference.parse(text.removeprefix("docker://")))
    if transport in ("oci", "oci-archive"):
        return _layout_image(rest, archive=transport == "oci-archive", text=text)
    if transport == "docker-archive":
        path, _, name = rest.partition(":")
        return DockerArchiveImage(_path(path, text), name or None)
    if transport == "docker-daemon":
        return DaemonImage(_path(rest, text))
    if "://" in text:
        raise BadInput(f"{text[:300]!r}: unknown transport {transport!r}", hint=_FORMS)
    return RegistryImage(Reference.parse(text))


_FORMS = "write docker://HOST/REPO[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE or docker-daemon:NAME"


def _path(path: str, text: str) -> str:
    if not path:
        raise BadInput(f"{text[:300]!r}: the path or name is missing", hint=_FORMS)
    return path


def _layout_image(rest: str, *, archive: bool, text: str) -> LayoutImage:
    path, at, digest_text = rest.rpartition("@")
    if at and digest_text.startswith(("sha256:", "sha512:")):
        return LayoutImage(_path(path, text), digest=Digest.parse(digest_text), archive=archive)
    path, colon, tag = rest.partition(":")
    return LayoutImage(_path(path, text), tag=tag if colon and tag else None, archive=archive)
