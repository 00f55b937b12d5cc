"""Resampling: Lanczos with three lobes, alpha premultiplied, pixel centres where they belong."""

from __future__ import annotations

import cykooz_resizer as cykooz  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops

LANCZOS = cykooz.ResizeAlg.convolution(cykooz.FilterType.lanczos3)
BILINEAR = cykooz.ResizeAlg.convolution(cykooz.FilterType.bilinear)

HALOS_FROM = 1.5
"""Enlarging from which halos are taken away: below, they are as faint as those of reducing."""
Pixels = npt.NDArray[np.uint8]

Cut = tuple[float, float, float, float]
"""Left, top, width and height of what is cut from the source, in its pixels; fractions are meant."""


def resize(image: Image.Image, width: int, height: int, cut: Cut | None = None) -> Image.Image:
    """`image`, or its part `cut`, at `width` x `height`. Mode stays: RGB or RGBA.

    Enlarging by more than `HALOS_FROM` is held within the brightest and darkest source pixel around each place, which takes
    away the halos that Lanczos draws beside edges and leaves its sharpness.
    """
    cut = cut or (0.0, 0.0, float(image.width), float(image.height))
    if (width, height) == (image.width, image.height) == (cut[2], cut[3]):
        return image
    sharp = resample(image, width, height, cut, LANCZOS)
    if max(width / cut[2], height / cut[3]) <= HALOS_FROM:
        return sharp
    return without_halos(sharp, image, cut)


def resample(image: Image.Image, width: int, height: int, cut: Cut, algorithm: cykooz.ResizeAlg) -> Image.Image:
    """One pass of a resampling filter."""
    target = Image.new(image.mode, (width, height))
    options = cykooz.ResizeOptions(resize_alg=algorithm, crop_box=cykooz.CropBox(*cut))
    cykooz.Resizer().resize_pil(image, target, options)
    return target


def without_halos(sharp: Image.Image, image: Image.Image, cut: Cut) -> Image.Image:
    """`sharp` clamped between the least and the greatest of the 3 x 3 source pixels around each place."""
    left, top = max(0, int(cut[0]) - 2), max(0, int(cut[1]) - 2)
    right, bottom = min(image.width, int(cut[0] + cut[2]) + 3), min(image.height, int(cut[1] + cut[3]) + 3)
    pixels = np.asarray(image.crop((left, top, right, bottom)))
    within = (cut[0] - left, cut[1] - top, cut[2], cut[3])
    floor, ceiling = (
        resample(Image.fromarray(around(pixels, pick)), sharp.width, sharp.height, within, BILINEAR)
        for pick in (np.minimum, np.maximum)
    )
    return ImageChops.darker(ImageChops.lighter(sharp, floor), ceiling)


def around(pixels: Pixels, pick: np.ufunc) -> Pixels:
    """The least or the greatest, as `pick` says, of the 3 x 3 pixels around each; `(H, W, C)` in and out."""
    for axis in (0, 1):
        padded = np.pad(pixels, [(1, 1) if axis == other else (0, 0) for other in range(3)], mode="edge")
        length = pixels.shape[axis]
        before, here, after = (padded.take(range(start, start + length), axis) for start in range(3))
        pixels = pick(pick(before, here), after)
    return pixels
