"""An image in a local Docker engine: `docker-daemon:NAME`, read through `GET /images/NAME/get` (Engine API 1.41).

The name is resolved to an image id once and that id is saved, into a temporary file of bounded size which lives as long as
the source. What comes is a `docker save` archive and is read as one. `DOCKER_HOST` is respected: `unix://` and `tcp://`
(with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` as the docker command has them); `ssh://` is not.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp

from gef_registry.errors import BadInput, NotFound, Unavailable
from gef_registry.oci import strict_json
from gef_registry.oci.archive import DockerArchiveSource
from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor

MAX_IMAGE_BYTES = 64 << 30
_MAX_ANSWER = 16 << 20
_TIMEOUT_S = 60
_DEFAULT_HOST = "unix:///var/run/docker.sock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Engine:
    """Where an engine listens."""

    base: str
    socket: str | None = None
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, host: str | None, environment: Mapping[str, str]) -> Engine:
        """`host`, else `DOCKER_HOST`, else the usual socket. Raises BadInput."""
        text = host or environment.get("DOCKER_HOST") or _DEFAULT_HOST
        scheme, _, rest = text.partition("://")
        if scheme == "unix" and rest.startswith("/"):
            return cls("http://engine", socket=rest)
        if scheme == "tcp" and rest:
            if environment.get("DOCKER_TLS_VERIFY"):
                return cls(f"https://{rest.rstrip('/')}", tls=_client_context(environment))
            return cls(f"http://{rest.rstrip('/')}")
        raise BadInput(f"the engine's address {text[:200]!r} is neither unix:///PATH nor tcp://HOST:PORT")

    def connect(self) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self.socket is not None:
            connector = aiohttp.UnixConnector(self.socket)
        else:
            connector = aiohttp.TCPConnector(ssl=self.tls or True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_TIMEOUT_S)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


def _client_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    directory = Path(environment.get("DOCKER_CERT_PATH") or Path(environment.get("HOME", "/nonexistent")) / ".docker")
    try:
        context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    except OSError as error:
        raise Unavailable(f"the engine's certificates in {directory} cannot be read: {error.strerror}") from error
    return context


class DaemonSource:
    """A `Source` over one image of an engine. The image is fetched at first use."""

    def __init__(
        self, image: str, engine: Engine, *, spool_directory: Path | None = None, max_bytes: int = MAX_IMAGE_BYTES
    ) -> None:
        if _NAME.fullmatch(image) is None:
            raise BadInput(f"{image[:200]!r} is not the name or id of an image")
        self._image, self._engine = image, engine
        self._spool_directory, self._max_bytes = spool_directory, max_bytes
        self._archive: DockerArchiveSource | None = None
        self._lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return f"docker-daemon:{self._image}"

    async def resolve(self) -> Descriptor:
        return await (await self._saved()).resolve()

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        return await (await self._saved()).manifest(digest)

    async def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        async with aclosing((await self._saved()).blob(descriptor)) as pieces:
            async for chunk in pieces:
                yield chunk

    async def close(self) -> None:
        async with self._lock:
            archive, self._archive = self._archive, None
            if archive is not None:
                await archive.close()

    async def _saved(self) -> DockerArchiveSource:
        async with self._lock:
            if self._archive is None:
                directory = await asyncio.to_thread(
                    tempfile.TemporaryDirectory, prefix="gef-registry-image-", dir=self._spool_directory
                )
                try:
                    await self._save(Path(directory.name) / "image.tar")
                except BaseException:
                    directory.cleanup()
                    raise
                self._archive = DockerArchiveSource(
                    self.name, Path(directory.name) / "image.tar", on_close=directory.cleanup
                )
            return self._archive

    async def _save(self, file: Path) -> None:
        try:
            async with self._engine.connect() as session:
                identity = await self._identity(session)
                async with session.get(f"{self._engine.base}/images/{quote(identity, safe=':')}/get") as response:
                    await self._require_success(response)
                    await _spool(response, file, self._max_bytes)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"{self.name}: the engine at {self._engine.socket or self._engine.base} does not answer ({type(error).__name__})",
                hint="is it running, and may you use it?",
            ) from error
        except OSError as error:
            raise Unavailable(f"{self.name}: the image cannot be kept in {file.parent}: {error.strerror}") from error

    async def _identity(self, session: aiohttp.ClientSession) -> str:
        async with asyncio.timeout(_TIMEOUT_S):
            async with session.get(f"{self._engine.base}/images/{quote(self._image, safe='/:@')}/json") as response:
                await self._require_success(response)
                body = await _bounded(response)
        try:
            identity = strict_json.load_object(body, what="engine", max_bytes=_MAX_ANSWER).get("Id")
            return str(Digest.parse(identity if isinstance(identity, str) else ""))
        except BadInput as error:
            raise Unavailable(f"{self.name}: the engine gave no image id") from error

    async def _require_success(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 404:
            raise NotFound(f"{self.name}: the engine has no such image", hint="docker image ls shows what it has")
        if response.status != 200:
            raise Unavailable(f"{self.name}: the engine answered {response.status}")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(1 << 20):
        body += piece
        if len(body) > _MAX_ANSWER:
            raise Unavailable(f"the engine's answer is larger than {_MAX_ANSWER} bytes")
    return bytes(body)


async def _spool(response: aiohttp.ClientResponse, file: Path, max_bytes: int) -> None:
    """The body into a new file; each piece within aiohttp's read timeout."""
    written = 0
    out = await asyncio.to_thread(file.open, "xb", buffering=0)
    try:
        async for piece in response.content.iter_chunked(1 << 20):
            written += len(piece)
            if written > max_bytes:
                raise Unavailable(f"the image is larger than {max_bytes} bytes")
            await asyncio.to_thread(out.write, piece)
    finally:
        out.close()
