"""The surroundings of a mask: what of a picture is drawn in place of all of it, and how it is put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from imajin_servers.diffusion.sources import Pixels, Source, feathered

LARGE = 2.0
"""Times the pixels that a model was made for, from which on all of a picture is too much for it."""
CLOSEST = 4.0
"""How far surroundings are enlarged at most: closer, what is around a mask is a blur."""
SHARE = 8
"""Part of a mask's longer side that is drawn around it, where nothing is said. With more, what is asked for loses to what is there."""
GRAIN = 8

Size = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Lens:
    """What a model was made for: sizes in pixels, and how far they may be enlarged."""

    bases: Sequence[Size]
    max_upscale: float

    def too_small_for(self, size: Size) -> bool:
        """Whether a picture of `size` has many more pixels than the model was made for."""
        return bool(self.bases) and math.prod(size) > LARGE * max(math.prod(base) for base in self.bases)

    def view(self, mask: Pixels, padding: int | None) -> tuple[Box, Size] | None:
        """What to cut out of the picture, `mask` and `padding` pixels around it, and the size to draw it in.

        None where the mask is nowhere, or where that is all of a picture that isn't large.
        """
        high, wide = mask.shape
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not self.bases or not len(rows):
            return None
        if padding is None:
            padding = max(int(columns[-1] - columns[0]), int(rows[-1] - rows[0])) // SHARE
        left, top = max(0, int(columns[0]) - padding), max(0, int(rows[0]) - padding)
        right, bottom = min(wide, int(columns[-1]) + 1 + padding), min(high, int(rows[-1]) + 1 + padding)
        width, height = right - left, bottom - top
        base = min(self.bases, key=lambda base: abs(math.log(base[0] * height / (base[1] * width))))
        # In the shape of the base, and not too close, as far as the picture reaches.
        scale = max(width / base[0], height / base[1], 1 / CLOSEST)
        box = around(
            (left + right) / 2, (top + bottom) / 2, (round(base[0] * scale), round(base[1] * scale)), (wide, high)
        )
        if box == (0, 0, wide, high) and not self.too_small_for((wide, high)):
            return None
        return box, self.drawn(box, base)

    def drawn(self, box: Box, base: Size) -> Size:
        """The size to draw `box` in: as many pixels as `base` has, more where that would be enlarged too far."""
        width, height = box[2] - box[0], box[3] - box[1]
        scale = max(math.sqrt(math.prod(base) / (width * height)), 1 / self.max_upscale)
        return grained(width * scale), grained(height * scale)


def around(x: float, y: float, size: Size, bounds: Size) -> Box:
    """The box of `size` with its middle near `x` and `y`, within `bounds`."""
    width, height = min(size[0], bounds[0]), min(size[1], bounds[1])
    left = min(max(0, round(x - width / 2)), bounds[0] - width)
    top = min(max(0, round(y - height / 2)), bounds[1] - height)
    return left, top, left + width, top + height


def grained(side: float) -> int:
    """`side` as a side that is drawn, in pixels."""
    return max(64, round(side / GRAIN) * GRAIN)


class Part(Source):
    """A part of `whole`, `box`, in another size, to be put back when it is painted."""

    def __init__(self, whole: Source, box: Box, size: Size) -> None:
        assert whole.mask is not None
        pixels = Image.fromarray(whole.pixels).resize(size, Image.Resampling.LANCZOS, box=box)
        mask = Image.fromarray(whole.mask).resize(size, Image.Resampling.BOX, box=box)
        # What is painted anew in part is painted: the picture's own pixels come back over it.
        super().__init__(np.asarray(pixels), whole.strength, np.where(np.asarray(mask) > 0, np.uint8(255), np.uint8(0)))
        self.whole = whole
        self.box = box

    @cached_property
    def digest(self) -> str:
        """That of the whole, and which part it is."""
        return f"{self.whole.digest}@{self.box}"

    @property
    def finished_size(self) -> Size:
        """That of the whole."""
        return self.whole.size

    @property
    def bytes(self) -> int:
        """What it takes in memory, with the whole."""
        return super().bytes + self.whole.bytes

    def finished(self, painted: Pixels, seam: int) -> Pixels:
        """The whole with `painted` in its place, where the mask says so."""
        assert self.whole.mask is not None
        left, top, right, bottom = self.box
        width, height = self.size
        # It was drawn in the middle of a canvas.
        high, wide = painted.shape[:2]
        painted = painted[(high - height) // 2 :, (wide - width) // 2 :][:height, :width]
        size = right - left, bottom - top
        fitted = np.asarray(Image.fromarray(painted).resize(size, Image.Resampling.LANCZOS))
        soft = max(1, round(seam * size[0] / width))
        share = feathered(self.whole.mask[top:bottom, left:right], soft)[:, :, None].astype(np.uint16)
        made = self.whole.pixels.copy()
        place = made[top:bottom, left:right]
        made[top:bottom, left:right] = (fitted * share + place * (255 - share) + 127) // 255
        return made
