"""A vram server in the test's own loop, on a clock that the test turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import OPTIONS, Lifetime
from imajin_servers.vram.__main__ import build
from imajin_servers.vram.settings import VramSettings

MIB = 1024**2


class HandClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self.time

    async def sleep_until(self, moment: float) -> None:
        if moment <= self.time:
            return
        waker = asyncio.Event()
        entry = (moment, waker)
        self.sleepers.append(entry)
        try:
            await waker.wait()
        finally:
            self.sleepers.remove(entry)

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for when, waker in self.sleepers:
            if when <= self.time:
                waker.set()


@dataclass
class Running:
    """A server under test."""

    address: str
    channel: grpc.aio.Channel
    clock: HandClock
    lifetime: Lifetime
    server: grpc.aio.Server

    @property
    def stub(self) -> vram_lease_pb2_grpc.VramLeaseServiceAsyncStub:
        return vram_lease_pb2_grpc.VramLeaseServiceStub(self.channel)

    @property
    def client(self) -> LeaseClient:
        return LeaseClient(self.channel)

    async def leases(self) -> list[pb.Lease]:
        return list((await self.stub.ListLeases(pb.ListLeasesRequest())).leases)

    async def until(self, wanted: Callable[[list[pb.Lease]], bool]) -> list[pb.Lease]:
        """The leases as soon as they are as `wanted`; the watch says when they change."""
        call = self.stub.WatchLeases(pb.WatchLeasesRequest())
        try:
            async for answer in call:
                if wanted(list(answer.leases)):
                    return list(answer.leases)
        finally:
            call.cancel()
        raise AssertionError("the watch ended")


@contextlib.asynccontextmanager
async def running(port: int = 0, **settings: Any) -> AsyncIterator[Running]:
    clock, lifetime = HandClock(), Lifetime()
    chosen = VramSettings(**{"cards": "simulated", "simulated_bytes": 100 * MIB, "watch_seconds": 0, **settings})
    server = grpc.aio.server(interceptors=[CallInterceptor()], options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    async with build(chosen, lifetime, clock) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        channel = connect(address)
        try:
            yield Running(address, channel, clock, lifetime, server)
        finally:
            await channel.close()
            await server.stop(0)


@pytest.fixture
async def vram() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
def start() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    """Starts a server with settings of the test's own."""
    return running
