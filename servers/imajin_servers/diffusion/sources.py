"""The picture that an edit begins from: brought to the size that is drawn, and pasted back around what was painted anew."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
"""`(height, width, 3)`, RGB."""


class Source:
    """A picture, how much of it goes under in noise, and where it is painted anew.

    `mask` is `(height, width)`, 255 where it is, 0 where the picture stays; None paints all of it. Two of the same
    content are the same to whoever prints or copies them.
    """

    def __init__(self, pixels: Pixels, strength: float, mask: Pixels | None = None) -> None:
        self.pixels = pixels
        self.strength = strength
        self.mask = mask

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the picture and the mask."""
        digest = hashlib.sha256(self.pixels.tobytes())
        digest.update(b"" if self.mask is None else self.mask.tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        """Its content, in short."""
        return f"Source({self.digest}, {self.strength})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: nobody changes it."""
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def finished_size(self) -> tuple[int, int]:
        """Width and height of what is made of it, in pixels."""
        return self.size

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return self.pixels.nbytes + (0 if self.mask is None else self.mask.nbytes)

    @property
    def from_nothing(self) -> bool:
        """Whether what is painted anew begins from bare noise."""
        return self.mask is not None and self.strength == 1.0

    def on_canvas(self, width: int, height: int) -> Source:
        """The same in the middle of a larger canvas, with its edge drawn out over the rest."""
        return Source(
            centred(self.pixels, width, height),
            self.strength,
            None if self.mask is None else centred(self.mask, width, height),
        )

    def around(self, painted: Pixels, seam: int) -> Pixels:
        """`painted` where the mask says so, this picture's own pixels, to the bit, everywhere else.

        They flow into each other over `seam` pixels inside of the mask.
        """
        if self.mask is None:
            return painted
        share = feathered(self.mask, seam)[:, :, None].astype(np.uint16)
        mixed = (painted * share + self.pixels * (255 - share) + 127) // 255
        return mixed.astype(np.uint8)

    def finished(self, painted: Pixels, seam: int) -> Pixels:
        """What is made of it: `painted`, drawn on a canvas, in its own picture as in `around`."""
        high, wide = painted.shape[:2]
        return self.on_canvas(wide, high).around(painted, seam)


def prepared(image: Image.Image, strength: float, mask: Image.Image | None, width: int, height: int) -> Source:
    """A source of `width` x `height` pixels: scaled to cover it, cut around its centre. Of the mask, white is 255. Blocking."""
    pixels = np.asarray(covering(image, width, height, Image.Resampling.LANCZOS))
    if mask is None:
        return Source(pixels, strength)
    # A mask of another shape than the picture's is a mistake that stretching shows best.
    drawn = (
        mask.convert("L").resize(image.size, Image.Resampling.BILINEAR)
        if mask.size != image.size
        else mask.convert("L")
    )
    fitted = np.asarray(covering(drawn, width, height, Image.Resampling.BILINEAR))
    return Source(pixels, strength, np.where(fitted >= 128, np.uint8(255), np.uint8(0)))


def covering(image: Image.Image, width: int, height: int, filter: Image.Resampling) -> Image.Image:
    """`image` scaled to cover `width` x `height`, and cut around its centre."""
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    wide, high = width * scale, height * scale
    left, top = max(0.0, (image.width - wide) / 2), max(0.0, (image.height - high) / 2)
    right, bottom = min(float(image.width), left + wide), min(float(image.height), top + high)
    return image.resize((width, height), filter, box=(left, top, right, bottom))


def centred(pixels: Pixels, width: int, height: int) -> Pixels:
    """`pixels` in the middle of a canvas, where a crop to their size finds them; its rim repeats their edge."""
    high, wide = pixels.shape[:2]
    if (wide, high) == (width, height):
        return pixels
    left, top = (width - wide) // 2, (height - high) // 2
    rims = [(top, height - high - top), (left, width - wide - left), (0, 0)]
    return np.pad(pixels, rims[: pixels.ndim], mode="edge")


def feathered(mask: Pixels, seam: int) -> Pixels:
    """`mask` rising from 0 at its border to 255 over `seam` pixels inside of it; where it was 0 it is 0."""
    if seam < 1 or mask.min() == 255:
        return mask
    image = Image.fromarray(np.pad(mask, seam, mode="edge"))
    inner = image.filter(ImageFilter.MinFilter(2 * ((seam + 1) // 2) + 1)).filter(ImageFilter.BoxBlur(seam // 2))
    soft = np.asarray(inner)[seam:-seam, seam:-seam]
    return np.where(mask == 0, np.uint8(0), soft)
