"""Pictures that edits begin from: taken in within bounds, and made ready in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from imajin.common.v1 import image_pb2
from imajin_servers.diffusion.settings import UploadSettings
from imajin_servers.diffusion.sources import Source, prepared
from imajin_servers.diffusion.surroundings import Lens, Part
from imajin_servers.runtime import images
from imajin_servers.runtime.decoding.containers import FileFormat
from imajin_servers.runtime.decoding.decode import decode, looked_at
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge, InvalidArgument, QueueFull, Violation
from imajin_servers.runtime.uploads import Bounds

Area = Literal["auto", "image", "mask"]
SMALLEST_SIDE, LARGEST_SIDE = 64, 4096
FORMATS: tuple[FileFormat, ...] = ("png", "jpeg", "webp", "avif")
"""What a picture or a mask may be a file of: no GIF, whose few colours make a poor beginning."""
UNKNOWN = Lens((), 1.0)
READERS = 2
"""Pictures that are decoded at a time: each takes several times its pixels."""


@dataclass(frozen=True)
class Wish:
    """What an edit asks of its picture: sizes in pixels that may be open, strength, and the mask as a file."""

    width: int | None
    height: int | None
    strength: float
    mask: bytes = b""
    area: Area = "auto"
    """How much of it is drawn for the mask: all of the image, the mask's surroundings, or what suits the model."""
    padding: int | None = None
    """Pixels around the mask that are drawn with it; in proportion to it when None."""
    lens: Lens = UNKNOWN
    """What the model was made for."""


class Reserve:
    """Bytes that one call holds."""

    def __init__(self, uploads: Uploads) -> None:
        self.uploads = uploads
        self.held = 0

    def hold(self, count: int) -> None:
        """Takes `count` more. Raises QueueFull when all calls together would hold too many."""
        limit = self.uploads.settings.max_bytes_in_flight
        if self.uploads.held and self.uploads.held + count > limit:
            raise QueueFull(f"{self.uploads.held} bytes of pictures are waiting to be edited", retry_after=2.0)
        self.uploads.held += count
        self.held += count

    def keep(self, count: int) -> None:
        """Holds `count` from now on, less than before."""
        self.uploads.held += count - self.held
        self.held = count


class Uploads:
    """The accounts of what came in. Use it in the event loop."""

    def __init__(self, settings: UploadSettings) -> None:
        self.settings = settings
        self.held = 0
        self.readers = asyncio.Semaphore(READERS)
        self.limits = Limits(bytes=settings.max_bytes, pixels=settings.max_pixels, animated=False)

    @property
    def bounds(self) -> Bounds:
        """What is refused while it arrives."""
        return Bounds(self.settings.max_bytes, 3 * self.settings.max_pixels, self.settings.seconds)

    @contextmanager
    def reserve(self) -> Iterator[Reserve]:
        """Accounts for the bytes of one call."""
        reserve = Reserve(self)
        try:
            yield reserve
        finally:
            reserve.keep(0)

    async def source(self, wish: Wish, upload: Callable[[], images.Image]) -> Source:
        """The picture of `upload` in the size that it is drawn in.

        Raises ImageInvalid, ImageTooLarge, and InvalidArgument on a size that can't be drawn.
        """
        async with self.readers:
            return await asyncio.to_thread(ready, wish, upload, self.limits)


def ready(wish: Wish, upload: Callable[[], images.Image], limits: Limits) -> Source:
    """The source, decoded. Blocking."""
    image = picture(upload(), limits)
    mask = masked(wish.mask, limits) if wish.mask else None
    source = prepared(image, wish.strength, mask, *size(wish, image))
    if (
        source.mask is None
        or wish.area == "image"
        or (wish.area == "auto" and not wish.lens.too_small_for(source.size))
    ):
        return source
    view = wish.lens.view(source.mask, wish.padding)
    return source if view is None else Part(source, *view)


def masked(data: bytes, limits: Limits) -> Image.Image:
    """The mask in a file. Raises ImageInvalid and ImageTooLarge, which say that it is the mask."""
    try:
        return picture(images.Image(image_pb2.ImageInfo(), data), limits)
    except ImageTooLarge as error:
        raise ImageTooLarge(f"the mask: {error.message}", metadata=error.metadata) from error
    except ImageInvalid as error:
        raise ImageInvalid(f"the mask: {error.message}", metadata=error.metadata) from error


def picture(upload: images.Image, limits: Limits) -> Image.Image:
    """The image in `upload`, upright RGB; what is see-through lies on white. Raises ImageInvalid and ImageTooLarge. Blocking."""
    image = decode(looked_at(upload, limits, FORMATS))
    if image.mode == "RGB":
        return image
    ground = Image.new("RGB", image.size, "white")
    ground.paste(image, mask=image)
    return ground


def size(wish: Wish, image: Image.Image) -> tuple[int, int]:
    """Width and height to draw in: those that are asked for, in proportion where one is open, the picture's where both are.

    Raises InvalidArgument out of 64 to 4096 pixels.
    """
    width, height = wish.width, wish.height
    if width is None and height is None:
        width, height = image.size
    elif width is None and height is not None:
        width = round(image.width * height / image.height)
    elif height is None and width is not None:
        height = round(image.height * width / image.width)
    assert width is not None
    assert height is not None
    wrong = [
        Violation(field, f"must be from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels; name another for this image")
        for field, side in (("width", width), ("height", height))
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE
    ]
    if wrong:
        raise InvalidArgument(f"{width} x {height} pixels are out of range", violations=wrong)
    return width, height
