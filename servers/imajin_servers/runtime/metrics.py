"""What Prometheus may read of a server: calls, errors, and what each server adds in its own `metrics.py`.

Served over plain HTTP on an address of its own, because it isn't for callers. Every label has a bounded number of values: names of
the contract, of settings, of enums; `Few` bounds what callers choose.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client
import structlog
from prometheus_client import Counter, Histogram

OTHER = "other"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Bounds of histograms of time."""

# The names that dashboards for gRPC know.
STARTED = Counter("grpc_server_started_total", "Calls that began.", ("grpc_service", "grpc_method"))
HANDLED = Counter(
    "grpc_server_handled_total", "Calls that ended, by status.", ("grpc_service", "grpc_method", "grpc_code")
)
HANDLING = Histogram(
    "grpc_server_handling_seconds",
    "Time from a call's beginning to its end, streams included.",
    ("grpc_service", "grpc_method", "grpc_code"),
    buckets=SECONDS,
)
ERRORS = Counter("imajin_errors_total", "Calls that ended with an error, by its reason.", ("reason",))

log = structlog.get_logger()


class Few:
    """Lets the first `most` different values through and calls every other one OTHER, so that callers can't make series without end."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: set[str] = set()
        self.lock = threading.Lock()

    def of(self, value: str) -> str:
        """`value` as a label."""
        with self.lock:
            if value not in self.seen:
                if len(self.seen) >= self.most:
                    return OTHER
                self.seen.add(value)
        return value


def call_began(method: str) -> None:
    """Counts a call of `method`, such as `/imajin.vram.v1.VramLeaseService/ListLeases`."""
    STARTED.labels(*names(method)).inc()


def call_ended(method: str, code: str, reason: str, seconds: float) -> None:
    """Counts the end of a call with the status `code`; `reason` is that of its error, empty where it has none."""
    service, name = names(method)
    HANDLED.labels(service, name, code).inc()
    HANDLING.labels(service, name, code).observe(seconds)
    if reason:
        ERRORS.labels(reason).inc()


def names(method: str) -> tuple[str, str]:
    """Service and name of a method, from its path."""
    service, _, name = method.lstrip("/").rpartition("/")
    return service, name


@contextmanager
def served(address: str) -> Iterator[str]:
    """Serves `http://<address>/metrics` for the length of a block, where `address` (`host:port`) isn't empty; yields where it is served.

    A server whose metrics can't be served does its work without.
    """
    host, _, port = address.rpartition(":")
    if not address:
        yield ""
        return
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
