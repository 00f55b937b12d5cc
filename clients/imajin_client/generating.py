"""From a prompt to an image: what may be asked for, and what comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

from imajin.common.v1 import drawing_pb2, image_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_client.drawing import DrawOptions, fields
from imajin_client.images import Downloads, Image, Moderation
from imajin_client.names import word
from imajin_client.progress import Preview, Progress

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
    return orchestrator_pb2.GenerateRequest(
        prompt=prompt,
        width=width,
        height=height,
        preview_interval=preview_interval,
        noise_canvas=image_pb2.Size(width=noise_canvas[0], height=noise_canvas[1]) if noise_canvas else None,
        skip_processing=skip_processing,
        family=family,
        **fields(**options),
    )


def batch_request(
    prompt: str, *, sizes: Sequence[str], request_id: str = "", **options: Unpack[DrawOptions]
) -> orchestrator_pb2.SubmitBatchSizesRequest:
    """The contract's message of a batch with DrawOptions."""
    return orchestrator_pb2.SubmitBatchSizesRequest(
        prompt=prompt, sizes=list(sizes), request_id=request_id, **fields(**options)
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


@dataclass(frozen=True)
class Lora:
    """An adapter of the registry."""

    name: str
    description: str
    license: str
    loaded: bool
    """Whether it is in memory beside the model."""


@dataclass(frozen=True)
class Model:
    """A model of the registry."""

    name: str
    styles: tuple[str, ...]
    description: str
    source: str
    """Repository or directory that it is loaded from."""
    license: str
    loaded: bool
    weight_bytes: int
    """0 while unknown."""
    is_default: bool
    default_steps: int
    default_guidance_scale: float
    base_sizes: tuple[tuple[int, int], ...]
    """Sizes that it draws best, (width, height) in pixels."""
    max_upscale: float
    dtype: str
    schedulers: tuple[str, ...] = ()
    """Those that a call may choose; empty while the server can't know."""
    loras: tuple[Lora, ...] = ()
    """Adapters that a call may name."""
    edits: bool = False
    """Whether it draws from images."""

    @classmethod
    def from_proto(cls, model: diffusion_pb2.Model) -> Model:
        """From the contract's message."""
        return cls(
            name=model.name,
            styles=tuple(word(model_pb2.ModelStyle, style) for style in model.styles),
            description=model.description,
            source=model.source,
            license=model.license,
            loaded=model.loaded,
            weight_bytes=model.weight_bytes,
            is_default=model.is_default,
            default_steps=model.default_steps,
            default_guidance_scale=model.default_guidance_scale,
            base_sizes=tuple((size.width, size.height) for size in model.base_sizes),
            max_upscale=model.max_upscale,
            dtype=model.dtype,
            schedulers=tuple(word(drawing_pb2.Scheduler, scheduler) for scheduler in model.schedulers),
            loras=tuple(Lora(lora.name, lora.description, lora.license, lora.loaded) for lora in model.loras),
            edits=model.edits,
        )
