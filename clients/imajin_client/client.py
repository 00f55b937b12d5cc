"""The client: every door of the suite, as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self, Unpack

from imajin.common.v1 import image_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.processing.v1 import processing_pb2, verify_pb2
from imajin.prompt.v1 import prompt_pb2
from imajin_client import describing, editing, generating, health
from imajin_client.addresses import SERVERS
from imajin_client.calls import Stream, Wire
from imajin_client.credentials import Verification
from imajin_client.describing import DescribeEvent, DescribeOptions, Description
from imajin_client.drawing import DrawOptions, TextOverlay, Watermark, mark, overlay
from imajin_client.editing import EditOptions
from imajin_client.errors import Unavailable
from imajin_client.generating import GenerateEvent, GenerateOptions, Model
from imajin_client.health import Health
from imajin_client.images import Downloads, Image, ImageSource, stencil, upload
from imajin_client.job import Job
from imajin_client.jobs import AsyncJobs
from imajin_client.names import Format, Operation, Style, value, word
from imajin_client.progress import Progress
from imajin_client.sizing import Plan
from imajin_client.vram import AsyncVram
from imajin_client.working import Crop, Derivatives, Family, FocalPoint, PageOptions, Processed, messages

OnProgress = Callable[[Progress], None]
"""Called in the event loop with each progress event; must not block."""


class AsyncClient:
    """The suite, for coroutines. Use it in one event loop, as `async with AsyncClient() as client`.

    Addresses come from `addresses` (server to `host:port`), else IMAJIN_<SERVER>_ADDRESS, else imajin.toml, else
    loopback. Every call takes `timeout` in seconds; None waits for ever. A call that is dropped (its task cancelled, its
    stream left) is cancelled at the server, and its work ends; jobs go on. Errors are those of `imajin_client.errors`.
    """

    def __init__(self, addresses: Mapping[str, str] | None = None) -> None:
        self._wire = Wire(addresses)
        self.jobs = AsyncJobs(self._wire)
        self.vram = AsyncVram(self._wire)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where this client calls each server."""
        return dict(self._wire.addresses)

    async def __aenter__(self) -> Self:
        """The client; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self.close()

    async def close(self) -> None:
        """Closes the connections; calls under way are cancelled."""
        await self._wire.close()

    async def health(self, *, timeout: float | None = 5) -> dict[str, Health]:
        """How each server answers. Never raises for one that does not."""
        found = await asyncio.gather(*(health.check(self._wire, server, timeout) for server in SERVERS))
        return {item.server: item for item in found}

    async def describe(
        self, description: str, *, timeout: float | None = 300, **options: Unpack[DescribeOptions]
    ) -> Description:
        """Turns a description into prompts: classification by rules, then reasoning. Raises LlmTimeout, LlmFailed."""
        request = describing.request(prompt_pb2.AnalyzeContextRequest, description, **options)
        call = self._wire.prompt.AnalyzeContext(request, timeout=timeout)
        return Description.from_proto(await self._wire.one("prompt", call))

    def describe_stream(
        self, description: str, *, timeout: float | None = 300, **options: Unpack[DescribeOptions]
    ) -> Stream[DescribeEvent]:
        """The same as it happens: Classification, Reasoning and Prompt events, then the whole Description."""
        request = describing.request(prompt_pb2.StreamAnalyzeContextRequest, description, **options)
        return Stream(self._describe_stream(request, timeout))

    async def _describe_stream(
        self, request: prompt_pb2.StreamAnalyzeContextRequest, timeout: float | None
    ) -> AsyncGenerator[DescribeEvent, None]:
        call = self._wire.prompt.StreamAnalyzeContext(request, timeout=timeout)
        async with self._wire.many("prompt", call) as answers:
            async for answer in answers:
                event = describing.event(answer)
                if event is not None:
                    yield event

    async def generate(
        self,
        prompt: str,
        *,
        timeout: float | None = 900,
        on_progress: OnProgress | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Image:
        """Makes one image, with its derivatives unless `skip_processing` is set. Dropping the call ends the work."""
        async with self.generate_stream(prompt, timeout=timeout, **options) as events:
            async for event in events:
                if isinstance(event, Image):
                    return event
                if isinstance(event, Progress) and on_progress is not None:
                    on_progress(event)
        raise Unavailable("the generation ended without an image", details={"server": "orchestrator"})

    def generate_stream(
        self,
        prompt: str,
        *,
        preview_interval: int = 0,
        timeout: float | None = 900,
        **options: Unpack[GenerateOptions],
    ) -> Stream[GenerateEvent]:
        """The same as it happens: Progress, a Preview every `preview_interval` steps (0: none), then the Image."""
        request = generating.request(prompt, preview_interval=preview_interval, **options)
        return Stream(self._generate_stream(request, timeout))

    async def _generate_stream(
        self, request: orchestrator_pb2.GenerateRequest, timeout: float | None
    ) -> AsyncGenerator[GenerateEvent, None]:
        call = self._wire.orchestrator.Generate(request, timeout=timeout)
        async with self._wire.many("orchestrator", call) as answers, aclosing(generating.events(answers)) as events:
            async for event in events:
                yield event

    async def submit_generate(
        self,
        prompt: str,
        *,
        request_id: str = "",
        preview_interval: int = 0,
        timeout: float | None = 30,
        **options: Unpack[GenerateOptions],
    ) -> Job:
        """Submits a generation as a job, which goes on without the caller. The same `request_id` and body give the same job."""
        wanted = generating.request(prompt, preview_interval=preview_interval, **options)
        request = orchestrator_pb2.SubmitGenerateRequest(generate=wanted, request_id=request_id)
        call = self._wire.orchestrator.SubmitGenerate(request, timeout=timeout)
        answer = await self._wire.one("orchestrator", call)
        return Job.submitted(answer.job_id, answer.status, "generate", prompt)

    async def batch_sizes(
        self,
        prompt: str,
        *,
        sizes: Sequence[str],
        request_id: str = "",
        timeout: float | None = 30,
        **options: Unpack[DrawOptions],
    ) -> Job:
        """Submits one picture in many sizes, by name (`hero`) or `WxH`, cut from the fewest bases of one seed."""
        request = generating.batch_request(prompt, sizes=sizes, request_id=request_id, **options)
        call = self._wire.orchestrator.SubmitBatchSizes(request, timeout=timeout)
        answer = await self._wire.one("orchestrator", call)
        return Job.submitted(answer.job_id, answer.status, "batch-sizes", prompt)

    async def plan_sizes(
        self, sizes: Sequence[str], *, model: str = "", style: Style | None = None, timeout: float | None = 30
    ) -> Plan:
        """Says which bases a batch would draw, and which size would be cut from which. Draws nothing."""
        wanted = value(model_pb2.ModelStyle, style, "style")
        request = orchestrator_pb2.PlanBatchSizesRequest(sizes=list(sizes), model=model, style=wanted)
        call = self._wire.orchestrator.PlanBatchSizes(request, timeout=timeout)
        return Plan.from_proto(await self._wire.one("orchestrator", call))

    async def sizes(self, *, timeout: float | None = 30) -> dict[str, tuple[int, int]]:
        """The named sizes that a batch knows: name to (width, height) in pixels."""
        call = self._wire.orchestrator.ListSizes(orchestrator_pb2.ListSizesRequest(), timeout=timeout)
        answer = await self._wire.one("orchestrator", call)
        return {name: (answer.sizes[name].width, answer.sizes[name].height) for name in sorted(answer.sizes)}

    async def models(self, *, timeout: float | None = 30) -> list[Model]:
        """The models of the registry, the default one first."""
        call = self._wire.diffusion.ListModels(diffusion_pb2.ListModelsRequest(), timeout=timeout)
        return [Model.from_proto(model) for model in (await self._wire.one("diffusion", call)).models]

    async def edit(
        self,
        image: ImageSource,
        prompt: str,
        *,
        mask: ImageSource | None = None,
        timeout: float | None = 900,
        on_progress: OnProgress | None = None,
        **options: Unpack[EditOptions],
    ) -> Image:
        """Draws from an image: all of it anew, or where `mask` is white. Dropping the call ends the work."""
        async with self.edit_stream(image, prompt, mask=mask, timeout=timeout, **options) as events:
            async for event in events:
                if isinstance(event, Image):
                    return event
                if isinstance(event, Progress) and on_progress is not None:
                    on_progress(event)
        raise Unavailable("the edit ended without an image", details={"server": "diffusion"})

    def edit_stream(
        self,
        image: ImageSource,
        prompt: str,
        *,
        mask: ImageSource | None = None,
        preview_interval: int = 0,
        timeout: float | None = 900,
        **options: Unpack[EditOptions],
    ) -> Stream[GenerateEvent]:
        """The same as it happens: Progress, a Preview every `preview_interval` steps (0: none), then the Image."""
        return Stream(self._edit_stream(image, prompt, mask, preview_interval, timeout, options))

    async def _edit_stream(
        self,
        image: ImageSource,
        prompt: str,
        mask: ImageSource | None,
        preview_interval: int,
        timeout: float | None,
        options: EditOptions,
    ) -> AsyncGenerator[GenerateEvent, None]:
        where = await stencil(mask) if mask is not None else None
        spec = editing.spec(prompt, where, preview_interval=preview_interval, **options)
        request = messages(
            diffusion_pb2.EditRequest(spec=spec),
            await upload(image),
            lambda chunk: diffusion_pb2.EditRequest(chunk=chunk),
        )
        call = self._wire.diffusion.Edit(request, timeout=timeout)
        async with self._wire.many("diffusion", call) as answers, aclosing(generating.events(answers)) as events:
            async for event in events:
                yield event

    async def process(
        self,
        image: ImageSource,
        *,
        operations: Sequence[Operation] = (),
        family: str = "",
        size: tuple[int, int] | None = None,
        focal_point: tuple[float, float] | None = None,
        target_quality: float = 0,
        page: PageOptions | None = None,
        timeout: float | None = 300,
        on_progress: OnProgress | None = None,
    ) -> Processed:
        """Applies operations to an image, in order; optimize, convert-webp and derivatives when none are given.

        `size` in pixels is needed by clip-focal; `focal_point` as fractions is detected when absent. A `target_quality`
        takes the fewest bytes that look so near to the original, by SSIMULACRA 2: 50 is medium, 70 high, 90 without a
        difference that one sees. `page` shapes the snippet that comes with the derivatives.
        """
        spec = processing_pb2.ProcessSpec(
            operations=[value(processing_pb2.Operation, item, "operations") for item in operations],
            family=family,
            size=image_pb2.Size(width=size[0], height=size[1]) if size else None,
            focal_point=point(focal_point),
            target_quality=target_quality,
            page=page.to_proto() if page else None,
        )
        request = messages(
            processing_pb2.ProcessRequest(spec=spec),
            await upload(image),
            lambda chunk: processing_pb2.ProcessRequest(chunk=chunk),
        )
        downloads = Downloads()
        async with self._wire.many("processing", self._wire.processing.Process(request, timeout=timeout)) as answers:
            async for answer in answers:
                match answer.WhichOneof("event"):
                    case "progress" if on_progress is not None:
                        on_progress(Progress.from_proto(answer.progress))
                    case "chunk":
                        downloads.add(answer.chunk)
                    case "result":
                        return Processed.from_proto(answer.result, downloads)
        raise Unavailable("the processing ended without a result", details={"server": "processing"})

    async def derivatives(
        self,
        image: ImageSource,
        *,
        family: str = "",
        widths: Sequence[int] = (),
        formats: Sequence[Format] = (),
        target_quality: float = 0,
        page: PageOptions | None = None,
        timeout: float | None = 300,
        on_progress: OnProgress | None = None,
    ) -> Derivatives:
        """Makes the responsive variants of an image: of a family, or of `widths` in pixels, in `formats`.

        A `target_quality` takes the fewest bytes that look so near to the original; see `process`. `page` shapes the
        snippet that comes with them, as `page.html` of the list.
        """
        spec = processing_pb2.DerivativesSpec(
            family=family,
            widths=list(widths),
            formats=[value(image_pb2.ImageFormat, item, "formats") for item in formats],
            target_quality=target_quality,
            page=page.to_proto() if page else None,
        )
        request = messages(
            processing_pb2.CreateDerivativesRequest(spec=spec),
            await upload(image),
            lambda chunk: processing_pb2.CreateDerivativesRequest(chunk=chunk),
        )
        downloads = Downloads()
        call = self._wire.processing.CreateDerivatives(request, timeout=timeout)
        async with self._wire.many("processing", call) as answers:
            async for answer in answers:
                match answer.WhichOneof("event"):
                    case "progress" if on_progress is not None:
                        on_progress(Progress.from_proto(answer.progress))
                    case "chunk":
                        downloads.add(answer.chunk)
                    case "result":
                        return Derivatives.from_proto(answer.result, downloads)
        raise Unavailable("the derivatives ended without a result", details={"server": "processing"})

    async def clip_focal(
        self,
        image: ImageSource,
        width: int,
        height: int,
        *,
        focal_point: tuple[float, float] | None = None,
        format: Format | None = None,
        quality: int = 0,
        target_quality: float = 0,
        text_overlay: TextOverlay | str | None = None,
        watermark: Watermark | str | None = None,
        max_upscale: float = 0,
        timeout: float | None = 120,
    ) -> Crop:
        """Crops to a size in pixels and keeps the focal point in the crop; it is detected where none is given.

        Give `quality`, 1 to 100, or a `target_quality`, see `process`, or neither.
        """
        spec = processing_pb2.ClipFocalSpec(
            width=width,
            height=height,
            focal_point=point(focal_point),
            format=value(image_pb2.ImageFormat, format, "format"),
            quality=quality,
            target_quality=target_quality,
            text_overlay=overlay(text_overlay),
            watermark=mark(watermark),
            max_upscale=max_upscale,
        )
        request = messages(
            processing_pb2.ClipFocalRequest(spec=spec),
            await upload(image),
            lambda chunk: processing_pb2.ClipFocalRequest(chunk=chunk),
        )
        downloads = Downloads()
        async with self._wire.many("processing", self._wire.processing.ClipFocal(request, timeout=timeout)) as answers:
            async for answer in answers:
                if answer.HasField("chunk"):
                    downloads.add(answer.chunk)
                elif answer.HasField("result"):
                    return Crop.from_proto(answer.result, downloads)
        raise Unavailable("the crop ended without a result", details={"server": "processing"})

    async def focal_point(self, image: ImageSource, *, timeout: float | None = 60) -> FocalPoint:
        """Finds where the subject is: faces, then the salient region, then the centre."""
        request = messages(
            processing_pb2.DetectFocalPointRequest(spec=processing_pb2.DetectFocalPointSpec()),
            await upload(image),
            lambda chunk: processing_pb2.DetectFocalPointRequest(chunk=chunk),
        )
        call = self._wire.processing.DetectFocalPoint(request, timeout=timeout)
        return FocalPoint.from_proto((await self._wire.one("processing", call)).focal_point)

    async def verify(self, image: ImageSource, *, timeout: float | None = 60) -> Verification:
        """Says where an image comes from: what its C2PA manifest says, whether that holds, and the mark in its pixels."""
        request = messages(
            verify_pb2.VerifyRequest(spec=verify_pb2.VerifySpec()),
            await upload(image),
            lambda chunk: verify_pb2.VerifyRequest(chunk=chunk),
        )
        call = self._wire.processing.Verify(request, timeout=timeout)
        return Verification.from_proto(await self._wire.one("processing", call))

    async def families(self, *, timeout: float | None = 30) -> dict[str, Family]:
        """The families of derivatives by name."""
        call = self._wire.processing.ListFamilies(processing_pb2.ListFamiliesRequest(), timeout=timeout)
        answer = await self._wire.one("processing", call)
        return {
            name: Family(
                name=name,
                widths=tuple(answer.families[name].widths),
                formats=tuple(word(image_pb2.ImageFormat, item) for item in answer.families[name].formats),
                is_default=name == answer.default_family,
            )
            for name in sorted(answer.families)
        }


def point(given: tuple[float, float] | None) -> image_pb2.Point | None:
    """A focal point as the contract's message."""
    return image_pb2.Point(x=given[0], y=given[1]) if given is not None else None
