"""The orchestrator on a free port, between doubles of its peers that speak the real contract over real gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from imajin.common.v1 import finishing_pb2, image_pb2, model_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin.job.v1 import job_pb2, job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2_grpc
from imajin.processing.v1 import processing_pb2, processing_pb2_grpc
from imajin_servers.orchestrator.server import assembled
from imajin_servers.orchestrator.settings import OrchestratorSettings
from imajin_servers.runtime import status
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.errors import ImajinError
from imajin_servers.runtime.images import Assembly, chunks
from imajin_servers.runtime.server import OPTIONS, Lifetime
from imajin_servers.runtime.settings import Addresses

FORMATS = {
    image_pb2.IMAGE_FORMAT_PNG: "PNG",
    image_pb2.IMAGE_FORMAT_JPEG: "JPEG",
    image_pb2.IMAGE_FORMAT_WEBP: "WEBP",
    image_pb2.IMAGE_FORMAT_AVIF: "AVIF",
}


class HandClock:
    """A clock that a test winds by hand."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.sleepers: list[tuple[float, asyncio.Event]] = []
        self.arrival = asyncio.Event()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        sleeper = (self.time + seconds, woken)
        self.sleepers.append(sleeper)
        self.arrival.set()
        try:
            await woken.wait()
        finally:
            self.sleepers.remove(sleeper)

    async def until_asleep(self, seconds: float) -> None:
        """Returns when somebody has just gone to sleep for this long: only then there is something to wind."""
        while not any(due == self.time + seconds for due, _ in self.sleepers):
            self.arrival.clear()
            await self.arrival.wait()

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for due, woken in self.sleepers:
            if due <= self.time:
                woken.set()


def encoded(image: Image.Image, format: int) -> bytes:
    if format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
        return image.convert("RGB").tobytes()
    out = io.BytesIO()
    image.save(out, FORMATS[format])
    return out.getvalue()


class DiffusionDouble(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Draws one colour per seed. `step` is awaited before each step, so that a test decides when steps are made."""

    def __init__(self) -> None:
        self.models = [
            diffusion_pb2.Model(
                name="embedded",
                styles=[model_pb2.MODEL_STYLE_PHOTOREALISTIC],
                is_default=True,
                base_sizes=[
                    image_pb2.Size(width=192, height=128),
                    image_pb2.Size(width=160, height=160),
                    image_pb2.Size(width=128, height=192),
                ],
                max_upscale=12,
            ),
            diffusion_pb2.Model(
                name="drawn",
                styles=[model_pb2.MODEL_STYLE_ANIME],
                base_sizes=[image_pb2.Size(width=96, height=96)],
                max_upscale=2,
            ),
        ]
        self.requests: list[diffusion_pb2.GenerateRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.waited_for: list[float | None] = []
        self.steps_made = 0
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.step: Callable[[int], Awaitable[None]] | None = None
        self.error: ImajinError | None = None
        self.ends_with: grpc.StatusCode | None = None

    async def ListModels(self, request: Any, context: Any) -> diffusion_pb2.ListModelsResponse:
        return diffusion_pb2.ListModelsResponse(models=self.models)

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[diffusion_pb2.GenerateResponse]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.waited_for.append(context.time_remaining())
        self.started.set()
        steps = request.steps or 4
        try:
            for number in range(1, steps + 1):
                if self.step:
                    await self.step(number)
                if self.error:
                    raise self.error
                if self.ends_with:
                    await context.abort(self.ends_with, "not a word more")
                self.steps_made += 1
                denoising = progress_pb2.Denoising(step=number, total_steps=steps)
                progress = progress_pb2.Progress(denoising=denoising, fraction=number / steps)
                yield diffusion_pb2.GenerateResponse(progress=progress)
                if request.preview_interval and number % request.preview_interval == 0:
                    preview = image_pb2.Preview(image_data=b"\xff\xd8 preview", step=number)
                    yield diffusion_pb2.GenerateResponse(preview=preview)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        width, height = request.width or 192, request.height or 128
        format = request.format or image_pb2.IMAGE_FORMAT_PNG
        colour = hashlib.sha256(str(request.seed).encode()).digest()[:3]
        data = encoded(Image.new("RGB", (width, height), tuple(colour)), format)
        for chunk in chunks(data, format, width, height):
            yield diffusion_pb2.GenerateResponse(chunk=chunk)
        result = diffusion_pb2.GenerateResult(
            format=format, width=width, height=height, seed=request.seed if request.HasField("seed") else 77,
            model=request.model or "embedded", steps=steps, guidance_scale=4,
            moderation=finishing_pb2.Moderation(
                image_checked=True, image_score=0.25, threshold=0.5, prompt_level="strict"
            ),
        )  # fmt: skip
        yield diffusion_pb2.GenerateResponse(result=result)


class ProcessingDouble(processing_pb2_grpc.ProcessingServiceServicer):
    """Crops, scales and encodes with Pillow. `before` is awaited with the name of each rpc once its source is there."""

    def __init__(self) -> None:
        self.specs: list[Any] = []
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.cropping = 0
        self.cropping_at_most = 0

    async def source(self, requests: Any, rpc: str) -> tuple[Any, Image.Image]:
        spec, assembly = None, Assembly(2**26)
        async for request in requests:
            if request.HasField("spec"):
                spec = request.spec
            else:
                assembly.add(request.chunk)
        self.specs.append(spec)
        image = assembly.result()
        if self.before:
            await self.before(rpc)
        assert image.info.format == image_pb2.IMAGE_FORMAT_RAW_RGB8, "servers send each other pixels"
        return spec, Image.frombytes("RGB", (image.info.width, image.info.height), image.data)

    async def Process(self, requests: Any, context: Any) -> AsyncIterator[processing_pb2.ProcessResponse]:
        spec, image = await self.source(requests, "Process")
        yield processing_pb2.ProcessResponse(
            progress=progress_pb2.Progress(processing=progress_pb2.Processing(total=2))
        )
        webp = image_pb2.IMAGE_FORMAT_WEBP
        small = image.resize((64, 64))
        # The main image comes last: what is what is only known from the result.
        for index, output in enumerate([small, image]):
            for chunk in chunks(encoded(output, webp), webp, *output.size, index):
                yield processing_pb2.ProcessResponse(chunk=chunk)
        result = processing_pb2.ProcessResult(image_index=1, format=webp, width=image.width, height=image.height)
        result.derivatives.add(name=f"{spec.family or 'hero'}-64.webp", image_index=0, format=webp, width=64, height=64)
        yield processing_pb2.ProcessResponse(result=result)

    async def CreateDerivatives(
        self, requests: Any, context: Any
    ) -> AsyncIterator[processing_pb2.CreateDerivativesResponse]:
        spec, image = await self.source(requests, "CreateDerivatives")
        format = spec.formats[0] if spec.formats else image_pb2.IMAGE_FORMAT_WEBP
        width = spec.widths[0] if spec.widths else 64
        output = image.resize((width, image.height * width // image.width))
        for chunk in chunks(encoded(output, format), format, *output.size, 0):
            yield processing_pb2.CreateDerivativesResponse(chunk=chunk)
        result = processing_pb2.DerivativesResult()
        name = f"{spec.family or 'w'}-{width}.{FORMATS[format].lower()}"
        result.derivatives.add(name=name, image_index=0, format=format, width=width, height=output.height)
        yield processing_pb2.CreateDerivativesResponse(result=result)

    async def DetectFocalPoint(self, requests: Any, context: Any) -> processing_pb2.DetectFocalPointResponse:
        await self.source(requests, "DetectFocalPoint")
        point = image_pb2.FocalPoint(x=0.25, y=0.5, method=image_pb2.FOCAL_METHOD_FACE, confidence=0.9)
        return processing_pb2.DetectFocalPointResponse(focal_point=point)

    async def ClipFocal(self, requests: Any, context: Any) -> AsyncIterator[processing_pb2.ClipFocalResponse]:
        self.cropping += 1
        self.cropping_at_most = max(self.cropping, self.cropping_at_most)
        try:
            spec, image = await self.source(requests, "ClipFocal")
        finally:
            self.cropping -= 1
        upscale = max(spec.width / image.width, spec.height / image.height)
        assert upscale <= spec.max_upscale
        format = spec.format or image_pb2.IMAGE_FORMAT_WEBP
        output = image.resize((spec.width, spec.height))
        for chunk in chunks(encoded(output, format), format, *output.size, 0):
            yield processing_pb2.ClipFocalResponse(chunk=chunk)
        result = processing_pb2.ClipFocalResult(
            format=format, width=spec.width, height=spec.height, upscale=upscale,
            focal_point=image_pb2.FocalPoint(method=image_pb2.FOCAL_METHOD_GIVEN),
        )  # fmt: skip
        yield processing_pb2.ClipFocalResponse(result=result)

    async def ListFamilies(self, request: Any, context: Any) -> processing_pb2.ListFamiliesResponse:
        return processing_pb2.ListFamiliesResponse(families={"hero": processing_pb2.Family()}, default_family="hero")


async def serving(address: str, *add: Callable[[grpc.aio.Server], None]) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server(interceptors=[CallInterceptor()], options=OPTIONS)
    port = server.add_insecure_port(address)
    for entry in add:
        entry(server)
    await server.start()
    return server, f"127.0.0.1:{port}"


@dataclass
class House:
    """The running orchestrator, its stubs, its doubles and what a test may turn."""

    folder: Path
    diffusion: DiffusionDouble
    processing: ProcessingDouble
    clock: HandClock
    addresses: dict[str, str]
    servers: dict[str, grpc.aio.Server]
    settings: dict[str, Any] = field(default_factory=dict)
    lifetime: Lifetime = field(default_factory=Lifetime)
    orchestrator: Any = None
    jobs: Any = None

    @asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[House]:
        """The orchestrator, started anew on the same data directory."""
        self.lifetime = Lifetime()
        whole = OrchestratorSettings(
            data_dir=self.folder,
            addresses=Addresses(diffusion=self.addresses["diffusion"], processing=self.addresses["processing"]),
            drain_seconds=0,
            **(self.settings | settings),
        )
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(assembled(whole, self.lifetime, self.clock))
            adders = [lambda server, service=service: service.add(service.servicer, server) for service in services]
            server, address = await serving("127.0.0.1:0", *adders)
            stack.push_async_callback(server.stop, 0)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            self.orchestrator = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
            self.jobs = job_pb2_grpc.JobServiceStub(channel)
            yield self

    async def stop_peer(self, name: str) -> None:
        """Ends a double at once, as a killed process would."""
        await self.servers.pop(name).stop(0)

    async def start_peer(self, name: str) -> None:
        """Starts a double at the address that it had."""
        adders = {
            "diffusion": lambda server: diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(
                self.diffusion, server
            ),
            "processing": lambda server: processing_pb2_grpc.add_ProcessingServiceServicer_to_server(
                self.processing, server
            ),
        }
        self.servers[name], self.addresses[name] = await serving(self.addresses.get(name, "127.0.0.1:0"), adders[name])

    async def ended(self, job_id: str) -> job_pb2.Job:
        """The job, once it is over."""
        async for event in self.jobs.WatchJob(job_pb2.WatchJobRequest(job_id=job_id)):
            if event.HasField("job"):
                return event.job
        raise AssertionError("the watch ended before the job")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def stopped_house(tmp_path: Path, clock: HandClock) -> AsyncIterator[House]:
    """The doubles, with no orchestrator yet."""
    house = House(tmp_path / "data", DiffusionDouble(), ProcessingDouble(), clock, {}, {})
    await house.start_peer("diffusion")
    await house.start_peer("processing")
    yield house
    for name in list(house.servers):
        await house.stop_peer(name)


@pytest.fixture
async def house(stopped_house: House) -> AsyncIterator[House]:
    """The orchestrator between its doubles."""
    async with stopped_house.running():
        yield stopped_house


@pytest.fixture
def refused() -> Callable[[Any], Awaitable[ImajinError]]:
    """Awaits a call, or reads a stream, that must fail; gives its error."""

    async def error_of(call: Any) -> ImajinError:
        try:
            if hasattr(call, "__aiter__"):
                async for _ in call:
                    pass
            else:
                await call
        except grpc.aio.AioRpcError as error:
            return status.from_call(error)
        raise AssertionError("the call went well")

    return error_of
