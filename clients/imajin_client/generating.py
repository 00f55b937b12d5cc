"""From a prompt to an image: what may be asked for, and what comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from imajin.common.v1 import drawing_pb2, finishing_pb2, image_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_client.images import Downloads, Image, Moderation
from imajin_client.names import Anchor, Format, Scheduler, Style, value, word
from imajin_client.progress import Preview, Progress

GenerateEvent = Progress | Preview | Image
"""What `generate_stream` yields; the finished Image comes last."""


@dataclass(frozen=True)
class TextOverlay:
    """Text drawn over an image."""

    text: str
    """At most 500 characters; `\\n` breaks lines, long lines wrap."""
    position: Anchor | None = None
    """The bottom when None."""
    size: float = 0.0
    """Height of the letters as a fraction of the image's, 0.01 to 0.5; 0 means the server's default."""
    color: str = ""
    """`#rrggbb` or `#rrggbbaa`; white when empty."""
    stroke_color: str = ""
    """`#rrggbb` or `#rrggbbaa`; black when empty."""
    stroke_width: float | None = None
    """As a fraction of the letters' height, 0 to 0.3."""

    def to_proto(self) -> finishing_pb2.TextOverlay:
        """The contract's message."""
        return finishing_pb2.TextOverlay(
            text=self.text,
            position=value(finishing_pb2.Anchor, self.position, "position"),
            size=self.size,
            color=self.color,
            stroke_color=self.stroke_color,
            stroke_width=self.stroke_width,
        )


@dataclass(frozen=True)
class Watermark:
    """A visible mark that says who made the image."""

    text: str = ""
    """At most 100 characters; `imajin` when empty."""
    position: Anchor | None = None
    """The bottom right when None."""
    opacity: float = 0.0
    """0.05 to 1; 0 means the server's default."""

    def to_proto(self) -> finishing_pb2.Watermark:
        """The contract's message."""
        position = value(finishing_pb2.Anchor, self.position, "position")
        return finishing_pb2.Watermark(text=self.text, position=position, opacity=self.opacity)


def overlay(given: TextOverlay | str | None) -> finishing_pb2.TextOverlay | None:
    """A text overlay, from its text alone or in full."""
    return (TextOverlay(given) if isinstance(given, str) else given).to_proto() if given else None


def mark(given: Watermark | str | None) -> finishing_pb2.Watermark | None:
    """A watermark, from its text alone or in full."""
    return None if given is None else (Watermark(given) if isinstance(given, str) else given).to_proto()


Loras = Mapping[str, float] | Sequence[str]
"""Adapters of the server's registry, by name: each as strongly as it was trained, or with a weight."""


def adapters(loras: Loras) -> list[drawing_pb2.LoraWeight]:
    """The contract's messages of `loras`."""
    if isinstance(loras, Mapping):
        return [drawing_pb2.LoraWeight(name=name, weight=weight) for name, weight in loras.items()]
    return [drawing_pb2.LoraWeight(name=name) for name in ([loras] if isinstance(loras, str) else loras)]


class DrawOptions(TypedDict, total=False):
    """How to draw. What is absent is the model's or the server's default."""

    negative_prompt: str
    """What not to draw."""
    model: str
    """Name of a model in the registry."""
    style: Style | None
    """Style of the model, where no model is named."""
    steps: int | None
    """Denoising steps, 1 to 150."""
    guidance_scale: float | None
    """0 to 30."""
    seed: int | None
    """Seed of the noise, 0 to 2**32 - 1; random when absent."""
    format: Format | None
    """Encoding of the image."""
    text_overlay: TextOverlay | str | None
    """Text to draw over the image."""
    watermark: Watermark | str | None
    """Visible mark to draw on the image; `""` for the server's default text."""
    priority: int | None
    """Higher goes first, 0 to 100; 50 when absent."""
    scheduler: Scheduler | None
    """How the noise is taken away; the model's own way when absent."""
    loras: Loras
    """Adapters to draw with: names, or names with how strongly each is heard."""


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
    negative_prompt: str = "",
    model: str = "",
    style: Style | None = None,
    width: int | None = None,
    height: int | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    format: Format | None = None,
    text_overlay: TextOverlay | str | None = None,
    watermark: Watermark | str | None = None,
    preview_interval: int = 0,
    priority: int | None = None,
    scheduler: Scheduler | None = None,
    loras: Loras = (),
    noise_canvas: tuple[int, int] | None = None,
    skip_processing: bool = False,
    family: str = "",
) -> orchestrator_pb2.GenerateRequest:
    """The contract's message of a prompt with GenerateOptions."""
    return orchestrator_pb2.GenerateRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        model=model,
        style=value(model_pb2.ModelStyle, style, "style"),
        width=width,
        height=height,
        steps=steps,
        guidance_scale=guidance_scale,
        seed=seed,
        format=value(image_pb2.ImageFormat, format, "format"),
        text_overlay=overlay(text_overlay),
        watermark=mark(watermark),
        preview_interval=preview_interval,
        priority=priority,
        scheduler=value(drawing_pb2.Scheduler, scheduler, "scheduler"),
        loras=adapters(loras),
        noise_canvas=image_pb2.Size(width=noise_canvas[0], height=noise_canvas[1]) if noise_canvas else None,
        skip_processing=skip_processing,
        family=family,
    )


def batch_request(
    prompt: str,
    *,
    sizes: Sequence[str],
    request_id: str = "",
    negative_prompt: str = "",
    model: str = "",
    style: Style | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    format: Format | None = None,
    text_overlay: TextOverlay | str | None = None,
    watermark: Watermark | str | None = None,
    priority: int | None = None,
    scheduler: Scheduler | None = None,
    loras: Loras = (),
) -> orchestrator_pb2.SubmitBatchSizesRequest:
    """The contract's message of a batch with DrawOptions."""
    return orchestrator_pb2.SubmitBatchSizesRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        sizes=list(sizes),
        seed=seed,
        priority=priority,
        scheduler=value(drawing_pb2.Scheduler, scheduler, "scheduler"),
        loras=adapters(loras),
        model=model,
        style=value(model_pb2.ModelStyle, style, "style"),
        steps=steps,
        guidance_scale=guidance_scale,
        format=value(image_pb2.ImageFormat, format, "format"),
        text_overlay=overlay(text_overlay),
        watermark=mark(watermark),
        request_id=request_id,
    )


def image(result: orchestrator_pb2.GenerateResult, downloads: Downloads) -> Image:
    """The finished image with its derivatives."""
    data, _ = downloads.take(result.image_index)
    return Image(
        data=data,
        format=word(image_pb2.ImageFormat, result.format),
        width=result.width,
        height=result.height,
        seed=result.seed,
        model=result.model,
        steps=result.steps,
        guidance_scale=result.guidance_scale,
        derivatives=tuple(downloads.encoded(item) for item in result.derivatives),
        moderation=Moderation.from_proto(result.moderation) if result.HasField("moderation") else None,
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
