"""From an image to another: what an edit asks for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Unpack

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_client.calls import Calls, Stream
from imajin_client.drawing import DrawOptions, fields
from imajin_client.errors import InvalidArgument, Violation
from imajin_client.filled import filled
from imajin_client.generating import GenerateEvent, events, finished
from imajin_client.images import Image, ImageSource, Upload, messages, stencil, upload
from imajin_client.names import Area, value
from imajin_client.progress import OnProgress

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
    area: Area | None
    """How much of the image is drawn for a mask; its surroundings when absent and the image is large for the model."""
    mask_padding: int | None
    """Pixels around the mask that are drawn with it, 0 to 1024; an eighth of its longer side when absent."""


def spec(
    prompt: str,
    mask: Upload | None,
    *,
    width: int | None = None,
    height: int | None = None,
    preview_interval: int = 0,
    strength: float | None = None,
    area: Area | None = None,
    mask_padding: int | None = None,
    **options: Unpack[DrawOptions],
) -> diffusion_pb2.EditSpec:
    """The contract's message of a prompt, a mask and EditOptions. Raises InvalidArgument on a mask that is too long."""
    return filled(
        diffusion_pb2.EditSpec,
        prompt=prompt,
        mask_data=encoded(mask) if mask is not None else b"",
        width=width,
        height=height,
        preview_interval=preview_interval,
        strength=strength,
        area=value(diffusion_pb2.EditArea, area, "area"),
        mask_padding=mask_padding,
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


class Editing(Calls):
    """What the client asks for an image drawn from another."""

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
        stream = self.edit_stream(image, prompt, mask=mask, timeout=timeout, **options)
        return await finished(stream, on_progress, server="diffusion")

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
        asked = spec(prompt, where, preview_interval=preview_interval, **options)
        request = messages(diffusion_pb2.EditRequest, asked, await upload(image))
        call = self._wire.diffusion.Edit(request, timeout=timeout)
        async with self._wire.many("diffusion", call) as answers, aclosing(events(answers)) as heard:
            async for event in heard:
                yield event
