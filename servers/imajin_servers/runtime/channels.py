"""Channels to the other servers."""

from __future__ import annotations

import grpc

from imajin_servers.runtime.server import OPTIONS

RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2_000))


def connect(address: str) -> grpc.aio.Channel:
    """A channel to `address` (`host:port`). It connects lazily and again after a break, within 2 seconds at most."""
    return grpc.aio.insecure_channel(address, options=[*OPTIONS, *RECONNECT])
