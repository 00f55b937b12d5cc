"""SSIMULACRA 2: how near an image looks to what it was made of, from 100 (the same) downwards.

https://github.com/cloudinary/ssimulacra2 (Jon Sneyers, BSD-3-Clause): colours in XYB, structural similarity and edges at six
scales, weighted to agree with what people said of 22 000 images. Here terms that weigh nothing are left out (most of them:
colour hardly counts at full size, the sixth scale not at all), and images are looked at in tiles, which keeps memory small and in
the processor's cache: against the original's figures on whole images this moves the score by some tenths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Plane = npt.NDArray[np.float32]
TILE = 512
"""Side of a tile in pixels, about: an image is cut into equal ones."""
MOST_TILES = 8
"""Of larger images so many tiles are looked at, evenly spread."""
LEAST = 8
"""Scales end where a side is below this."""
WEIGHTS: dict[tuple[int, int], tuple[float, float, float, float, float, float]] = {
    (1, 0): (0.0, 0.0, 0.0, 7.466890328078848, 0.0, 17.445833984131262),
    (0, 1): (0.0, 0.0, 0.0, 1.1041726426657346, 0.0, 0.0),
    (1, 1): (0.0, 0.0, 0.0, 6.683678146179332, 0.0, 1.027889937768264),
    (0, 2): (0.0, 0.0, 0.0, 1.8422455520539298, 11.441172603757666, 0.0),
    (1, 2): (225.20515300849274, 0.0, 0.0, 19.213238186143016, 0.0, 0.0),
    (0, 3): (0.0, 0.0, 0.0, 1.8787594979546387, 10.94906990605142, 0.0),
    (1, 3): (176.39317598450694, 0.0, 0.0, 24.43300999870476, 0.28520802612117757, 0.0),
    (2, 3): (0.0, 0.0, 0.0, 8.826982764996862, 23.19243343998926, 0.0),
    (0, 4): (0.0, 0.9677937080626833, 0.0, 0.0, 0.9981766977854967, 0.0),
    (1, 4): (0.0, 0.0, 0.0, 34.77906344483772, 44.835625328877896, 0.0),
    (2, 4): (95.1080498811086, 0.9863978034400682, 0.9834382792465353, 0.0, 171.2667255897307, 0.9807858872435379),
}
"""By channel (X, Y, B) and scale: mean of similarity, of added and of lost edges, then the 4-norms of the three."""
SCALES = 5
C2 = 0.0009
ABSORBANCE = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
BIAS = 0.0037930732552754493
BACKGROUND = (128, 128, 128)
"""What shows through transparent pixels."""
STEPS = np.arange(256) / 255.0
LINEAR: Plane = np.where(STEPS <= 0.04045, STEPS / 12.92, ((STEPS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Light by sRGB value."""
REACH = 5
KERNEL: Plane = np.exp(-(np.arange(REACH + 1) ** 2) / (2 * 1.5**2)).astype(np.float32)
KERNEL /= KERNEL[0] + 2 * KERNEL[1:].sum()
"""A Gaussian of sigma 1.5, from its middle outwards."""
Light = tuple[Plane, Plane, Plane]
"""Red, green and blue, linear."""


@dataclass(frozen=True)
class Seen:
    """One channel of a tile at one scale, with its local mean and local mean of squares; each `(H, W)`."""

    plane: Plane
    mean: Plane
    square: Plane


class Original:
    """An image that others are compared to. What only depends on it is worked out once."""

    def __init__(self, image: Image.Image) -> None:
        self.size = image.size
        self.boxes = tiles(*image.size)
        self.seen: list[dict[tuple[int, int], Seen]] = [
            {key: Seen(plane, blurred(plane), blurred(plane * plane)) for key, plane in channels(part)}
            for part in parts(image, self.boxes)
        ]

    def score(self, image: Image.Image) -> float:
        """How near `image`, of the same size, looks to this one."""
        totals = {key: np.zeros(6) for key in WEIGHTS}
        counts = dict.fromkeys(WEIGHTS, 0)
        for seen, part in zip(self.seen, parts(image, self.boxes), strict=True):
            for key, plane in channels(part):
                totals[key] += differences(seen[key], plane)
                counts[key] += plane.size
        sums = 0.0
        for key, weights in WEIGHTS.items():
            if counts[key]:
                means = totals[key] / counts[key]
                means[3:] **= 0.25
                sums += float(np.dot(weights, means))
        sums *= 0.9562382616834844
        curved = 2.326765642916932 * sums - 0.020884521182843837 * sums**2 + 6.248496625763138e-05 * sums**3
        return 100.0 - 10.0 * curved**0.6276336467831387 if curved > 0 else 100.0


def tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Equal parts of an image, left, top, right, bottom: all of them, or `MOST_TILES` that are evenly spread."""
    columns, rows = max(1, round(width / TILE)), max(1, round(height / TILE))
    across = [width * number // columns for number in range(columns + 1)]
    down = [height * number // rows for number in range(rows + 1)]
    every = [
        (across[column], down[row], across[column + 1], down[row + 1])
        for row in range(rows)
        for column in range(columns)
    ]
    if len(every) <= MOST_TILES:
        return every
    return [every[(2 * number + 1) * len(every) // (2 * MOST_TILES)] for number in range(MOST_TILES)]


def parts(image: Image.Image, boxes: list[tuple[int, int, int, int]]) -> Iterator[Light]:
    """The light of each tile."""
    for box in boxes:
        part = image.crop(box)
        if part.mode == "RGBA":
            ground = Image.new("RGB", part.size, BACKGROUND)
            ground.paste(part, mask=part.getchannel("A"))
            part = ground
        red, green, blue = (LINEAR[np.asarray(band)] for band in part.convert("RGB").split())
        yield red, green, blue


def channels(light: Light) -> Iterator[tuple[tuple[int, int], Plane]]:
    """The channels that count, by channel and scale."""
    for scale in range(SCALES):
        if min(light[0].shape) < LEAST:
            return
        long, middle = (cone(light, row) for row in ABSORBANCE[:2])
        if (0, scale) in WEIGHTS:
            yield (0, scale), (long - middle) * np.float32(7) + np.float32(0.42)
        bright = (long + middle) * np.float32(0.5)
        yield (1, scale), bright + np.float32(0.01)
        if (2, scale) in WEIGHTS:
            blue = cone(light, ABSORBANCE[2])
            blue -= bright
            blue += np.float32(0.55)
            yield (2, scale), blue
        if scale + 1 < SCALES:
            red, green, blue = map(halved, light)
            light = red, green, blue


def cone(light: Light, row: tuple[float, float, float]) -> Plane:
    """What one kind of cone of the eye answers."""
    mixed = light[0] * np.float32(row[0])
    mixed += light[1] * np.float32(row[1])
    mixed += light[2] * np.float32(row[2])
    mixed += np.float32(BIAS)
    np.cbrt(mixed, out=mixed)
    mixed -= np.float32(np.cbrt(BIAS))
    return mixed


def halved(plane: Plane) -> Plane:
    """Half the size, by the mean of four; an odd edge counts twice."""
    if plane.shape[0] % 2 or plane.shape[1] % 2:
        plane = np.pad(plane, ((0, plane.shape[0] % 2), (0, plane.shape[1] % 2)), mode="edge")
    rows = np.add(plane[::2], plane[1::2], dtype=np.float32)
    small: Plane = np.add(rows[:, ::2], rows[:, 1::2], dtype=np.float32)
    small *= np.float32(0.25)
    return small


def blurred(plane: Plane) -> Plane:
    """`plane` under the Gaussian; edges are mirrored."""
    for axis in (0, 1):
        length = plane.shape[axis]
        around = ((REACH, REACH), (0, 0)) if axis == 0 else ((0, 0), (REACH, REACH))
        wide = np.pad(plane, around, mode="symmetric")

        def at(offset: int, wide: Plane = wide, axis: int = axis, length: int = length) -> Plane:
            start = REACH + offset
            return wide[start : start + length] if axis == 0 else wide[:, start : start + length]

        total: Plane = at(0) * KERNEL[0]
        for offset in range(1, REACH + 1):
            pair = at(offset) + at(-offset)
            pair *= KERNEL[offset]
            total += pair
        plane = total
    return plane


def differences(seen: Seen, plane: Plane) -> npt.NDArray[np.float64]:
    """Sums over the tile: of dissimilarity, added edges and lost edges, then of their fourth powers."""
    mean, square, product = blurred(plane), blurred(plane * plane), blurred(seen.plane * plane)
    apart = mean - seen.mean
    alike = 2 * (product - mean * seen.mean) + np.float32(C2)
    alike /= (square - mean * mean) + (seen.square - seen.mean * seen.mean) + np.float32(C2)
    alike *= 1 - apart * apart
    unlike = np.maximum(1 - alike, 0)
    edges = (1 + np.abs(plane - mean)) / (1 + np.abs(seen.plane - seen.mean)) - 1
    added, lost = np.maximum(edges, 0), np.maximum(-edges, 0)
    maps = (unlike, added, lost)
    return np.array([each.sum(dtype=np.float64) for each in maps] + [fourth(each) for each in maps])


def fourth(plane: Plane) -> float:
    """Sum of the fourth powers."""
    squared = (plane * plane).ravel()
    return float(np.dot(squared, squared))
