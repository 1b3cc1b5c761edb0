"""/metrics (Prometheus) and /health (JSON) on a local port. The only file that knows prometheus_client.

Counters live as plain attributes where things happen; they are read at scrape, so the hot path knows no metric
library. The port is local by rule (`models.site` refuses others); a port that is taken stops nothing.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric family: `rows` = (label values, value). Counters' names are given without `_total`."""

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], float], ...]


class _Figures(Collector):
    def __init__(self, read: Callable[[], Iterable[Figure]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for figure in self._read():
            family = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            metric = family(figure.name, figure.help, labels=figure.labels)
            for labels, value in figure.rows:
                metric.add_metric(labels, value)
            yield metric


class Web:
    """The local web server. `health()` gives the /health object, `figures()` the metrics."""

    def __init__(
        self, listen: str, *, health: Callable[[], dict[str, Any]], figures: Callable[[], Iterable[Figure]]
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._health = health
        self._registry = CollectorRegistry()
        self._figures = _Figures(figures)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._registry.register(self._figures)
        app = web.Application(client_max_size=4096)
        app.router.add_get("/health", self._get_health)
        app.router.add_get("/metrics", self._get_metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get_health(self, _: web.Request) -> web.Response:
        health = self._health()
        text = json.dumps(health, ensure_ascii=False)
        status = 503 if health["state"] == "blind" else 200
        return web.Response(text=text, status=status, content_type="application/json")

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
