"""From pixels to a file."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from typing import IO, Any

from PIL import Image

from imajin_servers.processing import metrics
from imajin_servers.processing.containers import FileFormat
from imajin_servers.processing.settings import Encoders, Encoding
from imajin_servers.runtime.credentials.sealing import NOTHING, Attached


@dataclass(frozen=True)
class Recipe:
    """How to encode: the format, and the quality from 1 to 100; 0 stands for the default of the settings."""

    format: Encoding
    quality: int = 0
    lossless: bool = False

    def settled(self, encoders: Encoders) -> Recipe:
        """The same with its quality filled in: 0 where the encoding is lossless."""
        if self.format == "png" or self.lossless:
            return replace(self, quality=0)
        default = {"jpeg": encoders.jpeg_quality, "webp": encoders.webp_quality, "avif": encoders.avif_quality}
        return replace(self, quality=self.quality or default[self.format])


@dataclass(frozen=True)
class Encoded:
    """An encoded image. `quality` is 0 for a lossless one."""

    data: bytes
    format: FileFormat
    width: int
    height: int
    quality: int
    credentials: Attached = NOTHING


def encode(image: Image.Image, recipe: Recipe, encoders: Encoders) -> Encoded:
    """Encodes RGB or RGBA pixels. No metadata is written; what has no profile is sRGB."""
    recipe = recipe.settled(encoders)
    if recipe.format == "jpeg" and image.mode == "RGBA":
        image = flattened(image, encoders.background)
    # Pillow keeps the options of a save on the image: two threads that save one image would mix them up.
    image = image.copy()
    with metrics.ENCODE.labels(recipe.format).time():
        data = written(image, recipe, encoders)
    return Encoded(data, recipe.format, image.width, image.height, recipe.quality)


def written(image: Image.Image, recipe: Recipe, encoders: Encoders) -> bytes:
    """The bytes of the file."""
    # Into a file descriptor Pillow encodes without the interpreter lock; into memory it holds it, 150 ms for 12 megapixels.
    with scratch() as file:
        image.save(file, recipe.format.upper(), **options(recipe, encoders))
        file.seek(0)
        return file.read()


def scratch() -> IO[bytes]:
    """An unnamed file: in memory on Linux, else where temporary files lie."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("imajin-encode"), "w+b")
    return tempfile.TemporaryFile()


def options(recipe: Recipe, encoders: Encoders) -> dict[str, Any]:
    """What Pillow's writers want to know."""
    match recipe.format:
        case "png":
            return {"compress_level": encoders.png_level}
        case "jpeg":
            return {"quality": recipe.quality, "progressive": encoders.jpeg_progressive, "optimize": True}
        case "webp" if recipe.lossless:
            return {"lossless": True, "quality": 50, "method": encoders.webp_method}
        case "webp":
            return {"quality": recipe.quality, "method": encoders.webp_method}
        case "avif":
            return {"quality": recipe.quality, "speed": encoders.avif_speed, "max_threads": 1}


def flattened(image: Image.Image, background: str) -> Image.Image:
    """RGB: `image` over a plain colour."""
    ground = Image.new("RGB", image.size, background)
    ground.paste(image, mask=image.getchannel("A"))
    return ground
