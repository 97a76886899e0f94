"""Where an image's bytes come from, as whoever reads images needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from gef_registry.oci.digest import Digest
from gef_registry.oci.manifest import Descriptor


class Source(Protocol):
    """One place that holds an image: a registry, a layout, an archive, an engine.

    Nothing it returns is trusted: readers hash what they get. Bounded: a manifest of more than 4 MiB is refused.
    Errors: NotFound (no such store, image or blob), Unavailable (could not look, or what is there is not an image store),
    BadInput (the name fits several images), VerificationFailed (bytes contradict the digest asked for).
    """

    @property
    def name(self) -> str:
        """What the user called it, for messages and reports."""
        ...

    async def resolve(self) -> Descriptor:
        """The descriptor of the manifest or index the name means, resolved once; the same answer each time."""
        ...

    async def manifest(self, digest: Digest) -> tuple[bytes, str | None]:
        """A manifest's verified bytes and the media type the transport gave (None if it gave none)."""
        ...

    def blob(self, descriptor: Descriptor) -> AsyncIterator[bytes]:
        """A blob's bytes in chunks of at most 1 MiB, not verified here; at most `descriptor.size` + 1 MiB are sent."""
        ...

    async def close(self) -> None:
        """Frees connections and temporary files; safe to call twice."""
        ...
