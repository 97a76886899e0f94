"""Figures for Prometheus: requests as they are answered, and the gate's own gauges as they are asked for.

One collector registry for each application, nothing global. Labels are bounded: the route's pattern, never the path.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gef_registry.errors import GefError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NAME = re.compile(r"[a-z][a-z0-9_]{0,80}", re.ASCII)


class _Gauges(Collector):
    """The gate's figures of the moment of one scrape."""

    def __init__(self) -> None:
        self.figures: Mapping[str, float] = {}

    def collect(self) -> Iterable[Metric]:
        for name, value in sorted(self.figures.items()):
            if _NAME.fullmatch(name):
                yield GaugeMetricFamily(f"gef_{name}", name.replace("_", " "), value=value)


class Metrics:
    """Counts requests; renders everything."""

    def __init__(self, figures: Callable[[], Awaitable[dict[str, float]]]) -> None:
        self._figures = figures
        self._registry = CollectorRegistry(auto_describe=False)
        self._gauges = _Gauges()
        self._registry.register(self._gauges)
        self._requests = Counter(
            "gef_http_requests", "Answered requests", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "gef_http_request_seconds",
            "Time to the end of the answer",
            ["route"],
            registry=self._registry,
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300),
        )

    def observe(self, request: web.Request, status: int, seconds: float) -> None:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        method = request.method if request.method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    async def render(self, request: web.Request) -> web.Response:
        """`/metrics`. When the gate's own figures cannot be had, `gef_figures_readable` is 0 and the rest is there."""
        try:
            self._gauges.figures = {**await self._figures(), "figures_readable": 1.0}
        except GefError:
            self._gauges.figures = {"figures_readable": 0.0}
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})
