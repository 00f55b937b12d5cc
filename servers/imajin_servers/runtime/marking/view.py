"""A picture as the mark sees it: its fine changes of brightness, without edges, as strong in flat places as in busy ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Numbers = NDArray[np.float32]
Fixed = NDArray[np.int16]
WORKING_SIDE = 512
"""Pixels of the shorter side that larger pictures are reduced to: enough for the mark, whose period follows their size."""
LUMA = 38, 75, 15
"""What red, green and blue add to the brightness, in parts of `UNIT`."""
UNIT = 128
NEAR = 2
"""Radius in pixels of the surroundings that strength is evened out over."""
QUIET = 1.0
"""Activity, in steps of brightness, below which a place is not made any stronger."""
LOUDEST = 2.5


@dataclass(frozen=True)
class View:
    """What is seen, `(H, W)` each: `signal` evened out, `activity` and `brightness` in steps of 255; and the reduction."""

    signal: Numbers
    activity: Numbers
    brightness: Numbers
    scale: float
    """Pixels of this view for one of the picture, at most 1."""


def view(image: Image.Image) -> View:
    """`image` (RGB, at least 3 pixels on each side) as the mark sees it."""
    scale = min(1.0, WORKING_SIDE / min(image.size))
    if scale < 1:
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    light = brightness(image)
    # Medians follow edges, which means would leave in the signal. Of whole numbers they take half as long.
    quick: Numbers = (light - median_around(light)).astype(np.float32)
    quick *= np.float32(1 / UNIT)
    activity = np.sqrt(np.maximum(mean_around(np.square(quick), NEAR), 0, dtype=np.float32))
    signal: Numbers = np.clip(quick / (activity + np.float32(QUIET)), -LOUDEST, LOUDEST)
    return View(signal, activity, light.astype(np.float32) * np.float32(1 / UNIT), scale)


def brightness(image: Image.Image) -> Fixed:
    """The brightness of each pixel, in `UNIT`s."""
    red, green, blue = (
        np.multiply(np.asarray(band), np.int16(weight), dtype=np.int16)
        for band, weight in zip(image.split(), LUMA, strict=True)
    )
    light: Fixed = red + green + blue
    return light


def median_around(values: Fixed) -> Fixed:
    """The median of 5 columns of the medians of 5 rows around each; edges are mirrored. No side may be shorter than 3."""
    down = median_of_five(np.pad(values, ((2, 2), (0, 0)), mode="reflect"))
    across = np.pad(np.ascontiguousarray(down.T), ((2, 2), (0, 0)), mode="reflect")
    return median_of_five(across).T


def median_of_five(values: Fixed) -> Fixed:
    """The median of five rows one below another, four rows fewer."""
    a, b, c, d, e = (values[start : len(values) - 4 + start] for start in range(5))
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    # What is neither least nor greatest of the first four, and the fifth: the middle of these three.
    return np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e))


def mean_around(values: Numbers, radius: int) -> Numbers:
    """The mean of the square of `2 * radius + 1` pixels around each; edges are mirrored. No side may be shorter than `radius` + 2."""
    width = 2 * radius + 1
    down: Numbers = np.pad(values, ((radius, radius), (0, 0)), mode="reflect")
    # Summed in turns of the transpose: views cost nothing, and every addition runs along whole rows or columns.
    across = np.pad(run_of(down, width), ((0, 0), (radius, radius)), mode="reflect")
    means: Numbers = run_of(across.T, width).T * np.float32(1 / (width * width))
    return means


def run_of(values: Numbers, width: int) -> Numbers:
    """Sums of `width` rows one below another, out of sums of 1, 2, 4 and so on: a running sum takes five times as long."""
    length = len(values) - width + 1
    total: Numbers = np.zeros((0, 0), np.float32)
    start, power, doubled = 0, 1, values
    while power <= width:
        if width & power:
            part = doubled[start : start + length]
            total = np.add(total, part, out=total) if start else part.copy()
            start += power
        if 2 * power <= width:
            doubled = doubled[:-power] + doubled[power:]
        power *= 2
    return total
