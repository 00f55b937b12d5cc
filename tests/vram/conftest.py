"""A vram server in the test's own loop, on a clock that the test turns."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime
from imajin_servers.vram.__main__ import build
from imajin_servers.vram.settings import VramSettings

from ..leases import leases_once
from ..serving import served

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
    """Durations."""
    day: HandClock
    """The time of day."""
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
        """The leases as soon as they are as `wanted`."""
        return await leases_once(self.stub, wanted)


@contextlib.asynccontextmanager
async def running(port: int = 0, day: float | None = None, **settings: Any) -> AsyncIterator[Running]:
    clock, today, lifetime = HandClock(), HandClock(), Lifetime()
    today.time = time.time() if day is None else day
    chosen = VramSettings(**{"cards": "simulated", "simulated_bytes": 100 * MIB, "watch_seconds": 0, **settings})
    async with served(build(chosen, lifetime, clock, today.now), port) as there:
        yield Running(there.address, there.channel, clock, today, lifetime, there.server)


@pytest.fixture
async def vram() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
def start() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    """Starts a server with settings of the test's own."""
    return running
