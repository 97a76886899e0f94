"""The policies this gate has judged by, for whoever reads a statement later: their exact bytes, by digest."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gef_registry.distribution.durable import fsync_directory
from gef_registry.errors import NotFound
from gef_registry.oci.digest import Digest
from gef_registry.policy.model import Policy


class PolicyArchive:
    """A directory of files named by their SHA-256; nothing in it is ever changed or removed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def keep(self, policy: Policy) -> None:
        """Durable on return, before anything is judged by it."""
        await asyncio.to_thread(self._keep, policy)

    async def read(self, digest: Digest) -> bytes:
        """Raises NotFound, VerificationFailed (altered on disk)."""
        return await asyncio.to_thread(self._read, digest)

    def _keep(self, policy: Policy) -> None:
        path = self._path(policy.digest)
        if path.exists():
            return
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(policy.raw)
        partial.replace(path)
        fsync_directory(self._directory)

    def _read(self, digest: Digest) -> bytes:
        try:
            content = self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"no verdict of this gate names the policy {digest}") from error
        return digest.require(content, f"the archived policy {digest}")

    def _path(self, digest: Digest) -> Path:
        return self._directory / f"{digest.algorithm}-{digest.hex}.yaml"
