"""What Prometheus may read of the gateway: requests by route, verb and status. Served on an address of its own, as the servers do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import prometheus_client
import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import Scope

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"

REQUESTS = Counter("imajin_http_requests_total", "Requests that ended.", ("route", "method", "status"))
REQUEST = Histogram(
    "imajin_http_request_seconds",
    "Time from a request's beginning to its end, streams included.",
    ("route", "method"),
    buckets=SECONDS,
)
RUNNING = Gauge("imajin_http_requests_running", "Requests that are worked on.")

log = structlog.get_logger()


def ended(scope: Scope, status: int, seconds: float) -> None:
    """Takes note of the end of a request. Routes are those of the contract, verbs those of HTTP: callers can't make new series."""
    endpoint: Any = scope.get("endpoint")
    route = getattr(endpoint, "template", "") or (OTHER if endpoint is None else scope["path"])
    verb = scope["method"] if scope["method"] in VERBS else OTHER
    REQUESTS.labels(route, verb, str(status)).inc()
    REQUEST.labels(route, verb).observe(seconds)


@contextmanager
def served(address: str) -> Iterator[str]:
    """Serves `http://<address>/metrics` for the length of a block, where `address` (`host:port`) isn't empty; yields where it is served.

    A gateway whose metrics can't be served does its work without.
    """
    if not address:
        yield ""
        return
    host, _, port = address.rpartition(":")
    try:
        server, thread = prometheus_client.start_http_server(int(port), host.strip("[]"))
    except (OSError, ValueError, OverflowError) as error:
        log.error("metrics can't be served", address=address, error=str(error))
        yield ""
        return
    place = f"{host}:{server.server_port}"
    log.info("serving metrics", url=f"http://{place}/metrics")
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
