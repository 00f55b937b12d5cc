"""From pixels to a file."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from dataclasses import dataclass, replace
from typing import IO, Any

from PIL import Image

from imajin_servers.processing import metrics, quality, wanted
from imajin_servers.processing.settings import Encoders, Encoding
from imajin_servers.processing.ssimulacra import Original
from imajin_servers.runtime.credentials.sealing import NOTHING, Attached
from imajin_servers.runtime.decoding.containers import FileFormat


@dataclass(frozen=True)
class Recipe:
    """How to encode: the format, and the quality from 1 to 100; 0 stands for the default of the settings.

    A `target` above 0 takes the lowest quality that reaches this score of SSIMULACRA 2.
    """

    format: Encoding
    quality: int = 0
    lossless: bool = False
    target: float = 0.0

    def settled(self, encoders: Encoders) -> Recipe:
        """The same with its quality filled in: 0 where the encoding is lossless, or found by a target."""
        if self.format == "png" or self.lossless or self.target:
            return replace(self, quality=0)
        default = {"jpeg": encoders.jpeg_quality, "webp": encoders.webp_quality, "avif": encoders.avif_quality}
        return replace(self, quality=self.quality or default[self.format])


@dataclass(frozen=True)
class Encoded:
    """An encoded image. `quality` is 0 for a lossless one, `score` where no target was asked for.

    `digest` is the SHA-256 of what the encoder wrote, in hexadecimal; a manifest that is put in later doesn't change it.
    """

    data: bytes
    format: FileFormat
    width: int
    height: int
    quality: int
    credentials: Attached = NOTHING
    score: float = 0.0
    digest: str = ""

    def __post_init__(self) -> None:
        """Works the digest out, unless this is a copy of something that has one."""
        if not self.digest:
            object.__setattr__(self, "digest", hashlib.sha256(self.data).hexdigest())


def encode(image: Image.Image, recipe: Recipe, encoders: Encoders) -> Encoded:
    """Encodes RGB or RGBA pixels. No metadata is written; what has no profile is sRGB."""
    recipe = recipe.settled(encoders)
    if recipe.format == "jpeg" and image.mode == "RGBA":
        image = flattened(image, encoders.background)
    # Pillow keeps the options of a save on the image: two threads that save one image would mix them up.
    image = image.copy()
    if recipe.target:
        return searched(image, recipe, encoders)
    return once(image, recipe, encoders)


def searched(image: Image.Image, recipe: Recipe, encoders: Encoders) -> Encoded:
    """The smallest file that looks as near to `image` as asked for; lossless ones need no search. Raises Unwanted between two tries."""
    if recipe.format == "png" or recipe.lossless:
        return replace(once(image, recipe, encoders), score=100.0)
    original = Original(image)

    def attempt(tried: int) -> tuple[float, Encoded]:
        wanted.check()
        file = once(image, replace(recipe, quality=tried), encoders)
        with Image.open(io.BytesIO(file.data), formats=[file.format.upper()]) as decoded:
            return original.score(decoded.convert(image.mode)), file

    best = quality.lowest(recipe.target, recipe.format, attempt)
    return replace(best.made, score=best.score)


def once(image: Image.Image, recipe: Recipe, encoders: Encoders) -> Encoded:
    """Encodes at the recipe's quality."""
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
            return {"quality": recipe.quality, "progressive": encoders.jpeg_progressive}
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
