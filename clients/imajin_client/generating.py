"""From a prompt to an image: what may be asked for, and what comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Unpack

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_client.calls import Calls, Stream
from imajin_client.drawing import DrawOptions, fields
from imajin_client.errors import Unavailable
from imajin_client.filled import filled
from imajin_client.images import Downloads, Image, Moderation
from imajin_client.job import Job
from imajin_client.model import Model
from imajin_client.names import word
from imajin_client.progress import OnProgress, Preview, Progress

GenerateEvent = Progress | Preview | Image
"""What `generate_stream` yields; the finished Image comes last."""


class GenerateOptions(DrawOptions, total=False):
    """How to draw one image."""

    width: int | None
    """In pixels, 64 to 4096."""
    height: int | None
    """In pixels, 64 to 4096."""
    noise_canvas: tuple[int, int] | None
    """Width and height of the field of noise that the image takes its centre of; its own size when absent. The bases of a batch share
    one that all of them fit into."""
    skip_processing: bool
    """Leave the image as drawn: no optimizing, no derivatives."""
    family: str
    """Family of derivatives to make, such as `hero`."""


def request(
    prompt: str,
    *,
    width: int | None = None,
    height: int | None = None,
    preview_interval: int = 0,
    noise_canvas: tuple[int, int] | None = None,
    skip_processing: bool = False,
    family: str = "",
    **options: Unpack[DrawOptions],
) -> orchestrator_pb2.GenerateRequest:
    """The contract's message of a prompt with GenerateOptions."""
    return filled(
        orchestrator_pb2.GenerateRequest,
        prompt=prompt,
        width=width,
        height=height,
        preview_interval=preview_interval,
        noise_canvas=filled(image_pb2.Size, width=noise_canvas[0], height=noise_canvas[1]) if noise_canvas else None,
        skip_processing=skip_processing,
        family=family,
        **fields(**options),
    )


Answers = AsyncIterator[orchestrator_pb2.GenerateResponse] | AsyncIterator[diffusion_pb2.EditResponse]
"""What is heard of a generation or of an edit; the contract names their events alike."""


async def events(answers: Answers) -> AsyncGenerator[GenerateEvent, None]:
    """What the caller hears: the finished image comes last."""
    downloads = Downloads()
    async for answer in answers:
        match answer.WhichOneof("event"):
            case "progress":
                yield Progress.from_proto(answer.progress)
            case "preview":
                yield Preview.from_proto(answer.preview)
            case "chunk":
                downloads.add(answer.chunk)
            case "result":
                yield image(answer.result, downloads)


def image(result: orchestrator_pb2.GenerateResult | diffusion_pb2.GenerateResult, downloads: Downloads) -> Image:
    """The finished image, with its derivatives where it was processed."""
    data, _ = downloads.take(result.image_index)
    drawn = Image(
        data=data,
        format=word(image_pb2.ImageFormat, result.format),
        width=result.width,
        height=result.height,
        seed=result.seed,
        model=result.model,
        steps=result.steps,
        guidance_scale=result.guidance_scale,
        moderation=Moderation.from_proto(result.moderation) if result.HasField("moderation") else None,
    )
    if isinstance(result, diffusion_pb2.GenerateResult):
        return drawn
    return replace(
        drawn,
        derivatives=tuple(downloads.encoded(item) for item in result.derivatives),
        stage_ms={"generating": result.generating_ms, "processing": result.processing_ms},
    )


async def finished(stream: Stream[GenerateEvent], on_progress: OnProgress | None, *, server: str) -> Image:
    """The image that `stream` ends with. Raises Unavailable where `server` ends it without one."""
    made: Image | None = None
    async with stream as events:
        async for event in events:
            if isinstance(event, Image):
                made = event
            elif isinstance(event, Progress) and on_progress is not None:
                on_progress(event)
    if made is None:
        raise Unavailable("the drawing ended without an image", details={"server": server})
    return made


class Generating(Calls):
    """What the client asks for one image."""

    async def generate(
        self,
        prompt: str,
        *,
        timeout: float | None = 900,
        on_progress: OnProgress | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Image:
        """Makes one image, with its derivatives unless `skip_processing` is set. Dropping the call ends the work."""
        stream = self.generate_stream(prompt, timeout=timeout, **options)
        return await finished(stream, on_progress, server="orchestrator")

    def generate_stream(
        self,
        prompt: str,
        *,
        preview_interval: int = 0,
        timeout: float | None = 900,
        **options: Unpack[GenerateOptions],
    ) -> Stream[GenerateEvent]:
        """The same as it happens: Progress, a Preview every `preview_interval` steps (0: none), then the Image."""
        asked = request(prompt, preview_interval=preview_interval, **options)
        return Stream(self._generate_stream(asked, timeout))

    async def _generate_stream(
        self, asked: orchestrator_pb2.GenerateRequest, timeout: float | None
    ) -> AsyncGenerator[GenerateEvent, None]:
        call = self._wire.orchestrator.Generate(asked, timeout=timeout)
        async with self._wire.many("orchestrator", call) as answers, aclosing(events(answers)) as heard:
            async for event in heard:
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
        wanted = request(prompt, preview_interval=preview_interval, **options)
        asked = orchestrator_pb2.SubmitGenerateRequest(generate=wanted, request_id=request_id)
        call = self._wire.orchestrator.SubmitGenerate(asked, timeout=timeout)
        answer = await self._wire.one("orchestrator", call)
        return Job.submitted(answer.job_id, answer.status, "generate", prompt)

    async def models(self, *, timeout: float | None = 30) -> list[Model]:
        """The models of the registry, the default one first."""
        call = self._wire.diffusion.ListModels(diffusion_pb2.ListModelsRequest(), timeout=timeout)
        return [Model.from_proto(model) for model in (await self._wire.one("diffusion", call)).models]
