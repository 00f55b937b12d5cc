"""A diffusion server in the test's own loop, with the model that ships."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin_servers.diffusion.build import build
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import OPTIONS, Lifetime
from imajin_servers.runtime.settings import Addresses

Events = list[pb.GenerateResponse]


@dataclass
class Heard:
    """What a call said."""

    events: Events = field(default_factory=list)

    @property
    def phases(self) -> list[str]:
        return [str(event.progress.WhichOneof("phase")) for event in self.events if event.HasField("progress")]

    @property
    def steps(self) -> list[int]:
        return [event.progress.denoising.step for event in self.events if event.progress.HasField("denoising")]

    @property
    def previews(self) -> list[Any]:
        return [event.preview for event in self.events if event.HasField("preview")]

    @property
    def data(self) -> bytes:
        return b"".join(event.chunk.data for event in self.events if event.HasField("chunk"))

    @property
    def result(self) -> pb.GenerateResult:
        assert self.events[-1].HasField("result")
        return self.events[-1].result

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Running:
    """A server under test."""

    stub: Any
    server: grpc.aio.Server

    async def generate(self, timeout: float | None = None, **request: Any) -> Heard:
        wanted = {"prompt": "a happy panda", "steps": 3, "seed": 1, **request}
        call = self.stub.Generate(pb.GenerateRequest(**wanted), timeout=timeout)
        heard = Heard()
        try:
            async for event in call:
                heard.events.append(event)
        finally:
            call.cancel()
        return heard

    async def begun(self, **request: Any) -> Any:
        """A call that is past its first steps."""
        call = self.stub.Generate(pb.GenerateRequest(**{"prompt": "a red apple", "steps": 150, **request}))
        async for event in call:
            if event.progress.HasField("denoising") and event.progress.denoising.step > 0:
                return call
        raise AssertionError("the call ended")


@contextlib.asynccontextmanager
async def running(vram: str = "127.0.0.1:1", **settings: Any) -> AsyncIterator[Running]:
    chosen = DiffusionSettings(**{"lease": "off", "addresses": Addresses(vram=vram), **settings})
    server = grpc.aio.server(interceptors=[CallInterceptor()], options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    async with build(chosen, Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        channel = connect(address)
        try:
            yield Running(diffusion_pb2_grpc.DiffusionServiceStub(channel), server)
        finally:
            await channel.close()
            await server.stop(0)


@pytest.fixture
async def diffusion() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
def start() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    """Starts a server with settings of the test's own."""
    return running


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns when `holds` does; the test's timeout is the limit."""
    while not holds():
        await asyncio.sleep(0.01)
