"""A picture as the mark sees it: its brightness, without slow changes, as strong in flat places as in busy ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Numbers = NDArray[np.float32]
WORKING_SIDE = 512
"""Pixels of the shorter side that larger pictures are reduced to: enough for the mark, whose period follows their size."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SLOW, NEAR = 6, 8
"""Radii in pixels of what counts as slow, and of the surroundings that strength is evened out over."""
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
    """`image` (RGB) as the mark sees it."""
    scale = min(1.0, WORKING_SIDE / min(image.size))
    if scale < 1:
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    light: Numbers = np.asarray(image, np.float32) @ LUMA
    quick: Numbers = light - mean_around(light, SLOW)
    loud: Numbers = np.square(quick)
    activity = np.sqrt(np.maximum(mean_around(loud, NEAR), 0, dtype=np.float32))
    signal: Numbers = np.clip(quick / (activity + np.float32(QUIET)), -LOUDEST, LOUDEST)
    return View(signal, activity, light, scale)


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
