"""The gate's web application: everything below one origin, built from the ports.

    routes = registry_routes(store, catalogue, access, gate, Limits())
    application = build_app(ports, issuer, access, routes)
    runner = web.AppRunner(application, access_log=None, **RUNNER_OPTIONS)

No route reads `Host`; the public address is the one of `ports.origin`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gef_registry.web.access import HttpAccess
from gef_registry.web.api import Api
from gef_registry.web.callers import Callers
from gef_registry.web.limiter import Limiter
from gef_registry.web.metrics import Metrics
from gef_registry.web.middlewares import answering_problems, observing, secured
from gef_registry.web.ports import GatePorts
from gef_registry.web.routes_health import HealthRoutes
from gef_registry.web.routes_hooks import HookRoutes
from gef_registry.web.routes_log import LogRoutes
from gef_registry.web.routes_token import TokenRoutes
from gef_registry.web.services import Services
from gef_registry.web.token import MAX_TOKEN_BYTES, TokenIssuer
from gef_registry.web.ui.pages import PageRoutes
from gef_registry.web.ui.rendering import Pages
from gef_registry.web.webhooks.senders import MAX_HOOK_BYTES

# For `AppRunner`: clients ask for hundreds of scopes in one line, and send back the token that grants them.
RUNNER_OPTIONS: dict[str, Any] = {
    "max_line_size": 64 << 10,
    "max_field_size": MAX_TOKEN_BYTES + 1024,
    "keepalive_timeout": 75.0,
}


def build_app(
    ports: GatePorts,
    issuer: TokenIssuer,
    access: HttpAccess,
    registry: Iterable[web.RouteDef],
    *,
    behind_proxy: bool = False,
) -> web.Application:
    """`registry` are the routes below `/v2/`; they bound their own bodies. `behind_proxy` trusts `X-Forwarded-For`."""
    callers = Callers(access, Limiter(time.monotonic), behind_proxy=behind_proxy)
    services = Services(ports.records, ports.revocations, ports.log_files)
    metrics = Metrics(ports.metrics)
    pages = Pages(ports.origin)
    application = web.Application(
        middlewares=[observing(metrics, callers.source), answering_problems(pages.problem)],
        client_max_size=MAX_HOOK_BYTES,
    )
    https = ports.origin.public_url.startswith("https://") and not ports.origin.trial
    application.on_response_prepare.append(secured(https=https))
    application.add_routes(TokenRoutes(callers, issuer).routes())
    application.add_routes(Api(ports, callers, services).routes())
    application.add_routes(LogRoutes(ports.log_files).routes())
    application.add_routes(HealthRoutes(ports.health).routes())
    application.add_routes([web.get("/metrics", metrics.render)])
    application.add_routes(HookRoutes(ports.deliveries, ports.hook_secrets).routes())
    application.add_routes(PageRoutes(ports, callers, services, pages).routes())
    application.add_routes(registry)
    return application
