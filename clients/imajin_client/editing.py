"""From an image to another: what an edit asks for."""

from __future__ import annotations

from imajin.common.v1 import drawing_pb2, image_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_client.errors import InvalidArgument, Violation
from imajin_client.generating import DrawOptions, Loras, TextOverlay, Watermark, adapters, mark, overlay
from imajin_client.images import Downloads, Image, Moderation, Upload
from imajin_client.names import Format, Scheduler, Style, value, word

MASK_BYTES = 1024 * 1024
"""What the contract takes of a mask."""


class EditOptions(DrawOptions, total=False):
    """How to draw from an image."""

    width: int | None
    """In pixels, 64 to 4096; the image's own, or in proportion, when absent."""
    height: int | None
    """In pixels, 64 to 4096."""
    strength: float | None
    """How much of the image goes under in noise, above 0 to 1; 0.8 when absent, 1 with a mask."""


def spec(
    prompt: str,
    mask: Upload | None,
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
    strength: float | None = None,
) -> diffusion_pb2.EditSpec:
    """The contract's message of a prompt, a mask and EditOptions. Raises InvalidArgument on a mask that is too long."""
    return diffusion_pb2.EditSpec(
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
        mask_data=encoded(mask) if mask is not None else b"",
        strength=strength,
    )


def encoded(mask: Upload) -> bytes:
    """The bytes of a mask as the contract takes them."""
    if mask.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
        problem = "is bare pixels; give an encoded image"
    elif len(mask.data) > MASK_BYTES:
        problem = f"has {len(mask.data)} bytes, the limit is {MASK_BYTES}; a black and white PNG is small"
    else:
        return mask.data
    raise InvalidArgument(f"mask: {problem}", violations=[Violation("mask", problem)])


def image(result: diffusion_pb2.GenerateResult, downloads: Downloads) -> Image:
    """The finished image."""
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
        moderation=Moderation.from_proto(result.moderation) if result.HasField("moderation") else None,
    )
