"""From drawn pixels to a finished image: crop, moderation, text, watermark, encoding, credentials. Blocking; runs in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imajin_servers.diffusion.finishing.encoding import Format, encode
from imajin_servers.diffusion.finishing.origin import Origin, origin
from imajin_servers.diffusion.moderation import Images, Verdict
from imajin_servers.runtime.credentials.sealing import Attached, Marked, Provenance, Seal
from imajin_servers.runtime.overlay import (
    TextOverlay,
    Watermark,
    check_text,
    check_watermark,
    draw_text,
    draw_watermark,
)

__all__ = ["Finish", "Finished", "Format", "Origin", "check", "finish", "origin"]


@dataclass(frozen=True)
class Finish:
    """How the image is wanted: its size in pixels, what is drawn on it, its encoding; and where it comes from."""

    width: int
    height: int
    origin: Origin
    format: Format = Format.PNG
    text_overlay: TextOverlay | None = None
    watermark: Watermark | None = None


@dataclass(frozen=True)
class Finished:
    """An encoded image, what moderation saw in it, and its credentials."""

    data: bytes
    verdict: Verdict
    credentials: Attached
    provenance: Provenance


def check(wish: Finish) -> None:
    """Raises InvalidArgument where the letters can't be drawn on an image of that size."""
    if wish.text_overlay is not None:
        check_text(wish.text_overlay, wish.width, wish.height)
    if wish.watermark is not None:
        check_watermark(wish.watermark, wish.width, wish.height)


def finish(
    pixels: NDArray[np.uint8], wish: Finish, images: Images, seal: Seal, tell: Callable[[str], None]
) -> Finished:
    """The image that `wish` asks for out of `pixels` (height, width, 3). Raises ContentRejected.

    `tell` hears which operation begins.
    """
    image = cropped(Image.fromarray(pixels), wish.width, wish.height)
    tell("moderation")
    verdict = images.check(image)
    if wish.text_overlay is not None:
        tell("text-overlay")
        image = draw_text(image, wish.text_overlay)
    if wish.watermark is not None:
        tell("watermark")
        image = draw_watermark(image, wish.watermark)
    tell("credentials")
    marked = seal.mark(image, wish.origin.content_id)
    tell("encode")
    return sealed(encode(marked.image, wish.format), verdict, marked, wish, seal)


def sealed(data: bytes, verdict: Verdict, marked: Marked, wish: Finish, seal: Seal) -> Finished:
    """The encoded image with its manifest, in the file or, for bare pixels, beside them."""
    statement = seal.created(wish.origin.model, wish.origin.prompt, composite=wish.origin.composite)
    manifest = b""
    if wish.format is Format.RAW_RGB8:
        manifest = seal.sign_pixels(data, wish.width, wish.height, statement, marked.content_id)
    else:
        data = seal.sign(data, wish.format.name.lower(), statement, marked.content_id, "image")
    attached = Attached(seal.settings.manifests, marked.content_id, marked.omission)
    # What is made of a small picture may be large enough for a mark, so the id goes on without one.
    return Finished(
        data, verdict, attached, Provenance(generated=True, content_id=wish.origin.content_id, manifest=manifest)
    )


def cropped(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of `image`."""
    if image.size == (width, height):
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
