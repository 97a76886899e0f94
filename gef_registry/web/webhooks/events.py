"""What is kept of a webhook: one push of a manifest."""

from __future__ import annotations

from dataclasses import dataclass

from gef_registry.errors import BadInput
from gef_registry.oci import strict_json
from gef_registry.oci.digest import Digest
from gef_registry.oci.reference import is_repository, is_tag

MAX_STORED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PushEvent:
    """`event` is the sender's id of it, the same in every repetition; `tag` None for a manifest pushed by digest alone."""

    event: str
    repository: str
    digest: Digest
    tag: str | None
    media_type: str

    @property
    def body(self) -> bytes:
        """How it is stored (`Deliveries.keep`)."""
        return strict_json.canonical(
            {
                "digest": str(self.digest),
                "event": self.event,
                "media_type": self.media_type,
                "repository": self.repository,
                "tag": self.tag,
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> PushEvent:
        """Reads a stored delivery. Raises BadInput."""
        document = strict_json.load_object(body, what="a stored delivery", max_bytes=MAX_STORED_BYTES)
        return cls.of(
            document.get("event"),
            document.get("repository"),
            document.get("digest"),
            document.get("tag"),
            document.get("media_type"),
        )

    @classmethod
    def of(cls, event: object, repository: object, digest: object, tag: object, media_type: object) -> PushEvent:
        """From fields of a stranger. Raises BadInput."""
        if not isinstance(event, str) or not (event.isascii() and event.isprintable() and 1 <= len(event) <= 200):
            raise BadInput("the event has no usable id")
        if not isinstance(repository, str) or not is_repository(repository):
            raise BadInput("the event names no repository")
        if not isinstance(digest, str):
            raise BadInput("the event has no digest")
        if not isinstance(media_type, str) or len(media_type) > 200:
            raise BadInput("the event has no media type")
        if tag is not None and tag != digest and (not isinstance(tag, str) or not is_tag(tag)):
            raise BadInput("the event's tag is none")
        parsed = Digest.parse(digest)
        return cls(
            event, repository, parsed, tag if isinstance(tag, str) and tag not in ("", digest) else None, media_type
        )
