"""From an image to another: what an edit asks for."""

from __future__ import annotations

from typing import Unpack

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_client.drawing import DrawOptions, fields
from imajin_client.errors import InvalidArgument, Violation
from imajin_client.images import Upload

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
    width: int | None = None,
    height: int | None = None,
    preview_interval: int = 0,
    strength: float | None = None,
    **options: Unpack[DrawOptions],
) -> diffusion_pb2.EditSpec:
    """The contract's message of a prompt, a mask and EditOptions. Raises InvalidArgument on a mask that is too long."""
    return diffusion_pb2.EditSpec(
        prompt=prompt,
        mask_data=encoded(mask) if mask is not None else b"",
        width=width,
        height=height,
        preview_interval=preview_interval,
        strength=strength,
        **fields(**options),
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
