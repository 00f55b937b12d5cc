"""A diffusion server in the test's own loop, with the model that ships."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.diffusion.build import build
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.runtime import images
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime
from imajin_servers.runtime.settings import Addresses
from imajin_servers.vram.__main__ import build as build_vram
from imajin_servers.vram.settings import VramSettings

from ..leases import leases_once
from ..serving import served

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


async def heard(call: Any) -> Heard:
    """All that `call` says."""
    try:
        return Heard([event async for event in call])
    finally:
        call.cancel()


@dataclass
class Running:
    """A server under test."""

    stub: Any
    server: grpc.aio.Server

    def request(self, **fields: Any) -> pb.GenerateRequest:
        return pb.GenerateRequest(**{"prompt": "a happy panda", "steps": 3, "seed": 1, **fields})

    async def loaded(self) -> bool:
        return any(model.loaded for model in (await self.stub.ListModels(pb.ListModelsRequest())).models)

    async def generate(self, timeout: float | None = None, **request: Any) -> Heard:
        return await heard(self.stub.Generate(self.request(**request), timeout=timeout))

    async def edit(
        self, image: bytes, info: image_pb2.ImageInfo | None = None, timeout: float | None = None, **spec: Any
    ) -> Heard:
        """An edit whose image goes up in chunks, or in the spec where it says so."""
        asked = pb.EditSpec(**{"prompt": "a happy panda", "steps": 4, "seed": 1, **spec})
        said = info or image_pb2.ImageInfo()
        chunks = images.chunks(image, said.format, said.width, said.height) if image else ()
        parts = [pb.EditRequest(spec=asked), *(pb.EditRequest(chunk=chunk) for chunk in chunks)]
        return await heard(self.stub.Edit(iter(parts), timeout=timeout))

    async def begun(self, **request: Any) -> Any:
        """A call that is past its first steps."""
        call = self.stub.Generate(self.request(**{"steps": 150, **request}))
        async for event in call:
            if event.progress.HasField("denoising") and event.progress.denoising.step > 0:
                return call
        raise AssertionError("the call ended")


@contextlib.asynccontextmanager
async def running(vram: str = "127.0.0.1:1", **settings: Any) -> AsyncIterator[Running]:
    # What the engine draws, bit for bit; tests/credentials looks at what is put into it before it leaves.
    bare = CredentialSettings(manifests=False, marks=False)
    chosen = DiffusionSettings(**{"lease": "off", "addresses": Addresses(vram=vram), "credentials": bare, **settings})
    async with served(build(chosen, Lifetime())) as there:
        yield Running(diffusion_pb2_grpc.DiffusionServiceStub(there.channel), there.server)


@pytest.fixture
async def diffusion() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
def start() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    """Starts a server with settings of the test's own."""
    return running


@dataclass
class Vram:
    """A vram server with one simulated card."""

    address: str
    stub: Any
    client: LeaseClient

    async def until(self, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        """The leases as soon as they are as `wanted`."""
        return await leases_once(self.stub, wanted)


@contextlib.asynccontextmanager
async def carded(size: int, ageing_seconds: float = 0) -> AsyncIterator[Vram]:
    settings = VramSettings(cards="simulated", simulated_bytes=size, watch_seconds=0, ageing_seconds=ageing_seconds)
    async with served(build_vram(settings, Lifetime())) as there:
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(there.channel)
        yield Vram(there.address, stub, LeaseClient(there.channel))


@pytest.fixture
def card() -> Callable[..., contextlib.AbstractAsyncContextManager[Vram]]:
    """Starts a vram server with a card of that many bytes."""
    return carded
