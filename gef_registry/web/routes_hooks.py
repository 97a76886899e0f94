"""`/hooks/<sender>`: other registries tell that something was pushed.

The sender shows its secret in `Authorization`, as it is or after `Bearer`. Every push is stored before the answer, once for
each event id; the work happens elsewhere. Never a redirect: distribution would follow it without the body and be content.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping

from aiohttp import web

from gef_registry.errors import Denied, NotFound
from gef_registry.web.answers import json_answer
from gef_registry.web.bodies import read_body
from gef_registry.web.ports import Deliveries
from gef_registry.web.problems import Unauthorized
from gef_registry.web.webhooks.senders import MAX_HOOK_BYTES, SENDERS

log = logging.getLogger(__name__)


class HookRoutes:
    """`secrets` maps a sender to its secret; a sender without one is refused."""

    def __init__(self, deliveries: Deliveries, secrets: Mapping[str, str]) -> None:
        self._deliveries = deliveries
        self._secrets = secrets

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/hooks/{sender}", self._receive)]

    async def _receive(self, request: web.Request) -> web.Response:
        name = request.match_info["sender"]
        sender = SENDERS.get(name)
        if sender is None:
            raise NotFound(f"no webhook sender is called {name[:60]!r}; there are: {', '.join(SENDERS)}")
        self._require_secret(name, request.headers.get("Authorization", ""))
        envelope = sender.parse(await read_body(request, sender.content_types, max_bytes=MAX_HOOK_BYTES))
        fresh = 0
        for push in envelope.pushes:
            fresh += await self._deliveries.keep(name, push.event, push.body)
        for reason in envelope.unreadable[:5]:
            log.warning("a notification of %s was passed over: %s", name, reason)
        return json_answer({"pushes": len(envelope.pushes), "new": fresh, "unreadable": len(envelope.unreadable)})

    def _require_secret(self, name: str, given: str) -> None:
        """Raises Denied (none is configured), Unauthorized. Compared in constant time."""
        secret = self._secrets.get(name)
        if not secret:
            raise Denied(f"webhooks of {name} are not accepted: no secret is configured")
        given = given[:4096]
        expected, bare = secret.encode(), given.partition(" ")[2].strip() if given[:7].lower() == "bearer " else given
        matches = [hmac.compare_digest(expected, word.encode("utf-8", "replace")) for word in (given, bare)]
        if not any(matches):
            raise Unauthorized("the secret of this webhook is wrong or missing")
