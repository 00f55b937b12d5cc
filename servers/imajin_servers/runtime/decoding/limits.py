"""What is too much, decided by what a file says about itself, before anything is decoded."""

from __future__ import annotations

from pydantic import BaseModel, Field

from imajin_servers.runtime.decoding.containers import Header
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge


class Limits(BaseModel):
    """What is refused before anything is decoded."""

    bytes: int = Field(default=20_000_000, ge=1)
    """Length of an encoded image."""
    raw_bytes: int = Field(default=150_000_000, ge=1)
    """Length of bare pixels, which come from our own servers."""
    pixels: int = Field(default=50_000_000, ge=1)
    """Width times height."""
    side: int = Field(default=16_383, ge=1, le=65_535)
    """Width or height; no WebP holds more than 16383."""
    animated: bool = True
    """An animated image is taken by its first frame; without this it is refused."""

    def check(self, header: Header) -> None:
        """Raises ImageTooLarge when the image is above a limit, ImageInvalid when the file can't hold the pixels that it announces."""
        if header.width * header.height > self.pixels:
            raise ImageTooLarge.over("pixels", self.pixels, header.width * header.height)
        if max(header.width, header.height) > self.side:
            raise ImageTooLarge.over("pixels a side", self.side, max(header.width, header.height))
        if header.frames > 1 and not self.animated:
            raise ImageTooLarge.over("frames", 1, header.frames)
        if header.packed < header.least:
            raise ImageInvalid(
                f"the file says that it has {header.width} x {header.height} pixels, and {header.packed} bytes can't hold them"
            )
