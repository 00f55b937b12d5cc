"""Resampling: Lanczos with three lobes, alpha premultiplied, pixel centres where they belong."""

from __future__ import annotations

import cykooz_resizer as cykooz  # type: ignore[import-untyped]
from PIL import Image, ImageChops, ImageFilter

LANCZOS = cykooz.ResizeAlg.convolution(cykooz.FilterType.lanczos3)
BILINEAR = cykooz.ResizeAlg.convolution(cykooz.FilterType.bilinear)

Cut = tuple[float, float, float, float]
"""Left, top, width and height of what is cut from the source, in its pixels; fractions are meant."""


def resize(image: Image.Image, width: int, height: int, cut: Cut | None = None) -> Image.Image:
    """`image`, or its part `cut`, at `width` x `height`. Mode stays: RGB or RGBA.

    Enlarging is held within the brightest and darkest source pixel around each place, which takes away the halos that
    Lanczos draws beside edges and leaves its sharpness.
    """
    cut = cut or (0.0, 0.0, float(image.width), float(image.height))
    if (width, height) == (image.width, image.height) == (cut[2], cut[3]):
        return image
    sharp = resample(image, width, height, cut, LANCZOS)
    if width <= cut[2] and height <= cut[3]:
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
    floor = resample(image.filter(ImageFilter.MinFilter(3)), sharp.width, sharp.height, cut, BILINEAR)
    ceiling = resample(image.filter(ImageFilter.MaxFilter(3)), sharp.width, sharp.height, cut, BILINEAR)
    return ImageChops.darker(ImageChops.lighter(sharp, floor), ceiling)
