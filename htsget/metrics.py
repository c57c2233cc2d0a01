"""Figures of the server for Prometheus."""

from __future__ import annotations

import os
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class _Series(NamedTuple):
    requests: Counter
    seconds: Histogram
    sent: Counter


class Metrics:
    """Counted a route template, never a path: there are few of them, and they tell nothing of the lake.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set, all workers count in files of that folder and any of them tells the sum.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self._requests = Counter("lake_http_requests", "Requests answered.", labels, registry=self._registry)
        self._seconds = Histogram(
            "lake_http_request_seconds",
            "Time from a request to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._sent = Counter("lake_http_sent_bytes", "Bytes of bodies sent.", ("route",), registry=self._registry)
        self.running = Gauge(
            "lake_http_requests_running",
            "Requests under way.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._series: dict[tuple[str, str, int], _Series] = {}

    def count(self, route: str, method: str, status: int, seconds: float, sent: int) -> None:
        key = route, method, status
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(
                self._requests.labels(route, method, str(status)),
                self._seconds.labels(route),
                self._sent.labels(route),
            )
        series.requests.inc()
        series.seconds.observe(seconds)
        if sent:
            series.sent.inc(sent)

    def text(self) -> bytes:
        """In Prometheus's text format, of all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
