"""The region that stands out, where there is no face."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.point import Focus
from imajin_servers.processing.resize import BILINEAR, resample

SIDE = 96
"""Longest side at which saliency is computed, in pixels: regions matter, details don't."""
FLAT = 6.0
"""Colour distance (0 to 255) below which nothing stands out."""
CENTRE_PULL = 0.35
"""How much less the corners count than the centre: subjects are seldom in corners."""
REGION = 0.45
"""Part of the peak from which a place belongs to the region that stands out."""
CORE = 0.7
"""Part of the peak from which a place says where the focal point is."""
DOUBT = 0.3
"""How far towards the centre a focal point goes that nothing speaks for."""

Map = npt.NDArray[np.float64]


def salient_region(image: Image.Image) -> Focus | None:
    """The focal point of what stands out by its colour and is sharp, or None when nothing stands out.

    The less sure that is, the nearer to the centre is the point: where photographers put what they mean.
    """
    small = reduced(image, SIDE)
    colour = saliency(small)
    if float(colour.max()) < FLAT:
        return None
    sharp = sharpness(image, small.size) * central(colour.shape)
    standing = colour / colour.max() + sharp / max(float(sharp.max()), 1e-9)
    height, width = standing.shape
    strong = np.where(standing >= REGION * standing.max(), standing, 0.0)
    left, right = core(strong.sum(axis=0))
    top, bottom = core(strong.sum(axis=1))
    inside = float(standing[top:bottom, left:right].mean())
    rest = float(standing.sum() - standing[top:bottom, left:right].sum())
    outside = rest / max(1, standing.size - (bottom - top) * (right - left))
    confidence = (inside - outside) / (inside + outside)
    box = Box(
        left / width * image.width,
        top / height * image.height,
        (right - left) / width * image.width,
        (bottom - top) / height * image.height,
    )
    point = centre_of(np.where(standing >= CORE * standing.max(), standing, 0.0))
    x, y = (0.5 + (place - 0.5) * (1 - DOUBT * (1 - confidence)) for place in point)
    return Focus(x, y, "saliency", confidence, (box,))


def saliency(small: Image.Image) -> Map:
    """How much the colour of each place of a small image stands out, `(H, W)`, in units of colour (0 to about 255).

    After Achanta et al., Frequency-tuned salient region detection (CVPR 2009): the distance of each blurred pixel's
    colour to the mean colour; here half of that and half of the least distance to the colours of the border.
    """
    blurred = small.filter(ImageFilter.GaussianBlur(SIDE / 48)).convert("YCbCr")
    colours = np.asarray(blurred, dtype=np.float64) * (0.7, 1.3, 1.3)
    from_mean = np.linalg.norm(colours - colours.mean(axis=(0, 1)), axis=2)
    # Several colours of the border, not its mean: sky above and grass below are both background.
    height, width = from_mean.shape
    rows, columns = spread(height), spread(width)
    edge = np.concatenate([colours[0, columns], colours[-1, columns], colours[rows, 0], colours[rows, -1]])
    from_border = np.linalg.norm(colours[:, :, None, :] - edge, axis=3).min(axis=2)
    return np.asarray((0.5 * from_mean + 0.5 * from_border) * central(from_mean.shape))


def sharpness(image: Image.Image, size: tuple[int, int]) -> Map:
    """How much fine detail there is around each place, 0 to 1, as a map of `size` (width, height).

    What a photographer means is in focus; a bright beam out of focus stands out by its colour alone.
    """
    seen = reduced(image, 2 * SIDE)
    pixels = np.asarray(seen, np.float64)
    fine = np.abs(pixels - np.asarray(seen.filter(ImageFilter.GaussianBlur(1)), np.float64)).sum(axis=2)
    # Beyond most of them, edges are all alike: a lamp is no more of a subject than a face.
    fine = (fine / max(float(np.percentile(fine, 98)), 1.0)).clip(0, 1)
    near = Image.fromarray((fine * 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    return np.asarray(near.filter(ImageFilter.GaussianBlur(SIDE / 24)), np.float64) / 255


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The image with a longest side of at most `side` pixels."""
    scale = min(1.0, side / max(image.size))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return resample(image, width, height, (0.0, 0.0, float(image.width), float(image.height)), BILINEAR)


def central(shape: tuple[int, ...]) -> Map:
    """What each place counts by where it is, `(H, W)`: 1 in the middle, less in the corners."""
    height, width = shape
    y, x = np.mgrid[0:height, 0:width]
    off = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5) / np.hypot(0.5, 0.5)
    return np.asarray(1 - CENTRE_PULL * off**2)


def centre_of(weights: Map) -> tuple[float, float]:
    """Weighted centre, as fractions of width and height."""
    height, width = weights.shape
    xs, ys = weights.sum(axis=0), weights.sum(axis=1)
    x = float((xs * (np.arange(width) + 0.5)).sum() / xs.sum() / width)
    return x, float((ys * (np.arange(height) + 0.5)).sum() / ys.sum() / height)


def spread(length: int) -> npt.NDArray[np.int64]:
    """Some places along an axis, its ends among them."""
    return np.linspace(0, length - 1, 9).round().astype(np.int64)


def core(sums: Map) -> tuple[int, int]:
    """First and last-but-one index of the middle 90% of a distribution."""
    shares = np.cumsum(sums) / sums.sum()
    return int(np.searchsorted(shares, 0.05)), int(np.searchsorted(shares, 0.95)) + 1
