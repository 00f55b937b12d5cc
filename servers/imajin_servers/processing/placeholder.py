"""ThumbHash: a picture in some 25 bytes, which a page draws blurred while the picture loads. Holds colours, aspect and alpha.

The format is Evan Wallace's, https://evanw.github.io/thumbhash/; his encoder was the model for this one.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imajin_servers.processing.resize import resize

SIDE = 100
"""Longest side, in pixels, that the format's encoder looks at."""
FLAT = 1e-9
"""Waves below this are rounding errors of a plain colour."""
Plane = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Waves:
    """A plane as cosine waves: its mean, the other coefficients as fractions of `scale`, from 0 to 1, and `scale`."""

    mean: float
    rest: list[float]
    scale: float


def thumb_hash(image: Image.Image) -> str:
    """The ThumbHash of RGB or RGBA pixels, as base64."""
    shrink = SIDE / max(image.size)
    if shrink < 1:
        image = resize(image, max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
    pixels = np.asarray(image.convert("RGBA"), np.float64) / 255
    height, width = pixels.shape[:2]
    alpha = pixels[..., 3]
    covered = float(alpha.sum())
    see_through = covered < width * height
    mean = (pixels[..., :3] * alpha[..., None]).sum((0, 1)) / covered if covered else np.zeros(3)
    red, green, blue = np.moveaxis(mean + (pixels[..., :3] - mean) * alpha[..., None], -1, 0)
    most, longest = (5 if see_through else 7), max(width, height)
    across, down = max(1, half_up(most * width / longest)), max(1, half_up(most * height / longest))
    light = waves((red + green + blue) / 3, max(3, across), max(3, down))
    yellow = waves((red + green) / 2 - blue, 3, 3)
    crimson = waves(red - green, 3, 3)
    planes = [light, yellow, crimson]
    head = (
        half_up(63 * light.mean)
        | half_up(31.5 + 31.5 * yellow.mean) << 6
        | half_up(31.5 + 31.5 * crimson.mean) << 12
        | half_up(31 * light.scale) << 18
        | see_through << 23
    )
    shape = (
        (down if width > height else across)
        | half_up(63 * yellow.scale) << 3
        | half_up(63 * crimson.scale) << 9
        | (width > height) << 15
    )
    parts = head.to_bytes(3, "little") + shape.to_bytes(2, "little")
    if see_through:
        cover = waves(alpha, 5, 5)
        planes.append(cover)
        parts += bytes([half_up(15 * cover.mean) | half_up(15 * cover.scale) << 4])
    return base64.b64encode(parts + packed([half_up(15 * part) for plane in planes for part in plane.rest])).decode()


def waves(plane: Plane, across: int, down: int) -> Waves:
    """`plane`, `(H, W)`, as the lowest of `across` x `down` cosine waves, those below the diagonal."""
    height, width = plane.shape
    rows = np.cos(np.pi / height * np.outer(np.arange(down), np.arange(height) + 0.5))
    columns = np.cos(np.pi / width * np.outer(np.arange(across), np.arange(width) + 0.5))
    found = rows @ plane @ columns.T / (width * height)
    kept = [float(found[y, x]) for y in range(down) for x in range(across) if x * down < across * (down - y)]
    mean, rest = kept[0], kept[1:]
    scale = max(map(abs, rest))
    if scale < FLAT:
        return Waves(mean, [0.0] * len(rest), 0.0)
    return Waves(mean, [0.5 + 0.5 / scale * part for part in rest], scale)


def packed(numbers: list[int]) -> bytes:
    """Numbers of four bits, two a byte, the lower half first."""
    even = [*numbers, 0] if len(numbers) % 2 else numbers
    return bytes(low | high << 4 for low, high in zip(even[::2], even[1::2], strict=True))


def half_up(value: float) -> int:
    """Rounded as the format's reference rounds."""
    return math.floor(value + 0.5)
