"""A server under test: its services on a free port of the loopback, called as its callers call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import grpc

from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import OPTIONS, Service


@dataclass(frozen=True)
class Served:
    """Where a server is, a channel to it, and what it is made of."""

    address: str
    channel: grpc.aio.Channel
    server: grpc.aio.Server
    services: Sequence[Service]


@asynccontextmanager
async def served(built: AbstractAsyncContextManager[Sequence[Service]], port: int = 0) -> AsyncIterator[Served]:
    """Serves the services that `built` makes, for the length of a block; any free port where `port` is 0."""
    server = grpc.aio.server(interceptors=[CallInterceptor()], options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    async with built as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        channel = connect(address)
        try:
            yield Served(address, channel, server, services)
        finally:
            await channel.close()
            await server.stop(0)
