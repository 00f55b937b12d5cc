"""The box of what an image shows, where that stands apart from everything around it: most drawings, few photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.point import Face
from imajin_servers.processing.focal.saliency import central, reduced, sharpness

SIDE = 64
"""Longest side at which barriers are measured, in pixels."""
FINE = 192
"""Longest side of what they are measured on, in pixels: that of what `sharpness` looks at."""
ROUNDS = 2
"""How often paths are followed in all four directions; more change nothing that is seen."""
FLAT = 8.0
"""Height of a barrier (0 to 255) below which nothing stands apart."""
PARTS = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Parts of the highest barrier that are tried, in turn, as the one that belongs to the subject."""
COMPANION = 0.35
"""Part of the weight of the heaviest thing from which another is of the subject too: a monkey and its banana."""
LARGEST = 0.5
"""Part of the image from which a box is no subject's but the whole scene's."""
FULLEST = 0.6
"""Part of its box that a thing fills at least; what fills less is a branch, a beam, a horizon."""
CLEAR = 0.88
"""How much less there is to cross outside the box than inside, at least, for the box to be trusted."""
SHARPER = 2.0
"""How many times as sharp the subject is as what is around it, at least: a blurred light stands apart too."""

HEADS = 0.35
"""Where a subject's head is, as a part of its height from the top, when nothing more is known."""
KNOWN = 0.2
"""What that counts beside things that look somewhat like faces, which count as their scores."""
INSIDE = 0.9
"""Part of such a thing that lies in the subject."""
LOWEST = 0.65
"""Where its middle is at most, as a part of the subject's height from the top."""
NARROWEST = 0.08
"""How wide it is at least, as a part of the subject's width."""

Map = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Edges = tuple[int, int, int, int]
Place = tuple[slice | int, slice | int]
ALL = slice(None)


@dataclass(frozen=True)
class Subject:
    """Where the subject is, in pixels, and how much less there is around it than in it, 0 to 1.

    One box, or two where it is several things: that of the main thing, then that of all of them together.
    """

    boxes: tuple[Box, ...]
    clear: float


def whole_subject(image: Image.Image) -> Subject | None:
    """The subject of an RGB image, or None where nothing stands apart from all around it.

    Lower barriers are tried first, so that the box holds as much of the subject as stands apart.
    """
    # From the pixels that sharpness looks at: to reduce 50 megapixels twice would take twice as long.
    seen = reduced(image, FINE)
    small = reduced(seen, SIDE)
    if min(small.size) < 3:
        return None
    colours = np.asarray(small.filter(ImageFilter.GaussianBlur(0.8)).convert("YCbCr"), np.float64) * (0.7, 1.3, 1.3)
    height, sharp = barriers(colours), sharpness(seen, small.size)
    highest = float(np.percentile(height, 98))
    if highest < FLAT:
        return None
    for part in PARTS:
        found = boxed(height, sharp, max(FLAT / 2, part * highest))
        if found is not None:
            across, down = image.width / small.width, image.height / small.height
            edges, clear = found
            boxes = [Box(x0 * across, y0 * down, (x1 - x0) * across, (y1 - y0) * down) for x0, y0, x1, y1 in edges]
            return Subject(tuple(boxes), clear)
    return None


def barriers(colours: Map) -> Map:
    """How far colours must change, at least, on a way from the border to each place, `(H, W)`; `colours` is `(H, W, 3)`.

    After Zhang et al., Minimum barrier salient object detection at 80 FPS (ICCV 2015), a row and a column at a time.
    """
    rows, columns = colours.shape[:2]
    height = np.zeros((rows, columns))
    height[1:-1, 1:-1] = np.inf
    highest, lowest = colours.copy(), colours.copy()

    def step(to: Place, origin: Place) -> None:
        high, low = np.maximum(highest[origin], colours[to]), np.minimum(lowest[origin], colours[to])
        cost = (high - low).max(axis=-1)
        better = cost < height[to]
        height[to] = np.where(better, cost, height[to])
        highest[to] = np.where(better[:, None], high, highest[to])
        lowest[to] = np.where(better[:, None], low, lowest[to])

    for _ in range(ROUNDS):
        for y in range(1, rows - 1):
            step((y, ALL), (y - 1, ALL))
        for x in range(1, columns - 1):
            step((ALL, x), (ALL, x - 1))
        for y in range(rows - 2, 0, -1):
            step((y, ALL), (y + 1, ALL))
        for x in range(columns - 2, 0, -1):
            step((ALL, x), (ALL, x + 1))
    return height


def boxed(height: Map, sharp: Map, least: float) -> tuple[list[Edges], float] | None:
    """The main thing that lies behind barriers of `least`, and all such things, and how clear they are; None when they are no subject."""
    things = apart(height >= least)
    if not things:
        return None
    weights = [float((height * central(height.shape))[thing].sum()) for thing in things]
    kept = [one for one, weight in zip(things, weights, strict=True) if weight >= COMPANION * max(weights)]
    thing = np.asarray(np.any(kept, axis=0))
    whole, inside = framed(thing), np.zeros(height.shape, np.bool_)
    for one in kept:
        inside |= framed(one)
    if whole.sum() > LARGEST * height.size or thing.sum() < FULLEST * inside.sum():
        return None
    clear = 1 - float(height[~whole].mean()) / float(height[thing].mean())
    if clear < CLEAR or sharp[inside].mean() < SHARPER * sharp[~whole].mean():
        return None
    main = edges_of(things[int(np.argmax(weights))])
    edges = edges_of(thing)
    return ([edges] if main == edges else [main, edges]), clear


def framed(thing: Mask) -> Mask:
    """All that lies in the box of a mask that is not empty."""
    left, top, right, bottom = edges_of(thing)
    frame = np.zeros(thing.shape, np.bool_)
    frame[top:bottom, left:right] = True
    return frame


def edges_of(thing: Mask) -> Edges:
    """Left, top, right and bottom of a mask that is not empty."""
    down, across = np.nonzero(thing.any(axis=1))[0], np.nonzero(thing.any(axis=0))[0]
    return int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1


def apart(mask: Mask) -> list[Mask]:
    """The connected parts of a mask."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    parts: list[Mask] = []
    while left:
        part = np.zeros(mask.shape, np.bool_)
        todo = [left.pop()]
        while todo:
            y, x = todo.pop()
            part[y, x] = True
            near = left & {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)}
            left -= near
            todo += near
        parts.append(part)
    return parts


def eye_of(subject: Box, suspects: Sequence[Face]) -> tuple[float, float]:
    """Where the head of a subject should be, in pixels: where something looks somewhat like a face, else in its upper part.

    A head that must be cut off is the worst of crops; most things that have one carry it high.
    """
    points = [(KNOWN, subject.center[0], subject.top + HEADS * subject.height)]
    points += [(face.score, *face.box.center) for face in suspects if may_be_head(face.box, subject)]
    whole = sum(weight for weight, _, _ in points)
    return sum(weight * x for weight, x, _ in points) / whole, sum(weight * y for weight, _, y in points) / whole


def may_be_head(box: Box, subject: Box) -> bool:
    """Whether what looks somewhat like a face is where, and as large as, a subject's head may be."""
    width = min(box.right, subject.right) - max(box.left, subject.left)
    height = min(box.bottom, subject.bottom) - max(box.top, subject.top)
    return (
        width > 0
        and height > 0
        and width * height >= INSIDE * box.width * box.height
        and box.center[1] - subject.top <= LOWEST * subject.height
        and box.width >= NARROWEST * subject.width
    )
