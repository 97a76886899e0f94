"""Notifications of docker-registry (CNCF distribution 2.8 and 3): an envelope `{"events": [...]}`.

Only pushes of manifests count: blobs, mounts, pulls (our own reads make some) and deletions are passed over. One event
that cannot be read is passed over too, with the reason: were it refused, the sender would repeat it for ever and hold
back everything behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gef_registry.errors import BadInput
from gef_registry.oci import media, strict_json
from gef_registry.web.webhooks.events import PushEvent

MAX_EVENTS = 1000
CONTENT_TYPES = (
    "application/vnd.docker.distribution.events.v2+json",
    "application/vnd.docker.distribution.events.v1+json",
    "application/json",
)
_MANIFESTS = media.INDEXES | media.MANIFESTS


@dataclass(frozen=True, slots=True)
class Envelope:
    """The pushes of one delivery, and why other events that looked like pushes were passed over."""

    pushes: tuple[PushEvent, ...]
    unreadable: tuple[str, ...]


def parse(body: bytes, *, max_bytes: int) -> Envelope:
    """Raises BadInput when it is no envelope at all."""
    document = strict_json.load_object(body, what="the notification", max_bytes=max_bytes)
    events = document.get("events")
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise BadInput(f"the notification has no list of at most {MAX_EVENTS} events")
    pushes: list[PushEvent] = []
    unreadable: list[str] = []
    for event in events:
        try:
            hint = _push(event)
        except BadInput as error:
            unreadable.append(error.message)
        else:
            pushes += [hint] if hint is not None else []
    return Envelope(tuple(pushes), tuple(unreadable))


def _push(event: Any) -> PushEvent | None:
    """None for what is no push of a manifest. Raises BadInput."""
    if not isinstance(event, dict) or not isinstance(event.get("target"), dict):
        raise BadInput("an event is no object with a target")
    target = event["target"]
    if event.get("action") != "push" or target.get("mediaType") not in _MANIFESTS:
        return None
    tag = target.get("tag") or None
    return PushEvent.of(event.get("id"), target.get("repository"), target.get("digest"), tag, target["mediaType"])
