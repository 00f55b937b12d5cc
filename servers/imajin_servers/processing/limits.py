"""What is too much, decided by what a file says about itself, before anything is decoded."""

from __future__ import annotations

from imajin_servers.processing.containers import Header
from imajin_servers.processing.settings import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge


def check(header: Header, limits: Limits) -> None:
    """Raises ImageTooLarge when the image is above a limit, ImageInvalid when the file can't hold the pixels that it announces."""
    if header.width * header.height > limits.pixels:
        raise ImageTooLarge.over("pixels", limits.pixels, header.width * header.height)
    if max(header.width, header.height) > limits.side:
        raise ImageTooLarge.over("pixels a side", limits.side, max(header.width, header.height))
    if header.frames > 1 and not limits.animated:
        raise ImageTooLarge.over("frames", 1, header.frames)
    if header.packed < header.least:
        raise ImageInvalid(
            f"the file says that it has {header.width} x {header.height} pixels, and {header.packed} bytes can't hold them"
        )
