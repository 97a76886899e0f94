"""Which registries' webhooks are understood, and how a delivery that was kept is read again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gef_registry.errors import BadInput
from gef_registry.web.webhooks import distribution
from gef_registry.web.webhooks.events import PushEvent

MAX_HOOK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sender:
    """How one kind of registry speaks."""

    content_types: tuple[str, ...]
    parse: Callable[[bytes], distribution.Envelope]


SENDERS: Mapping[str, Sender] = {
    "distribution": Sender(distribution.CONTENT_TYPES, lambda body: distribution.parse(body, max_bytes=MAX_HOOK_BYTES))
}


def parse_delivery(sender: str, body: bytes) -> list[PushEvent]:
    """The events of one kept delivery: today each is kept by itself, in our own words. Raises BadInput."""
    if sender not in SENDERS:
        raise BadInput(f"no webhook sender is called {sender[:60]!r}")
    return [PushEvent.parse(body)]
