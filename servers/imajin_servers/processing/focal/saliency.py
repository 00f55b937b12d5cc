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

Map = npt.NDArray[np.float64]


def salient_region(image: Image.Image) -> Focus | None:
    """The focal point of what differs most from the image's border and from its own mean, or None when nothing does.

    After Achanta et al., Frequency-tuned salient region detection (CVPR 2009): the distance of each blurred pixel's
    colour to the mean colour; here the lesser of the distances to the mean and to the border's colours.
    """
    standing = saliency(image)
    peak = float(standing.max())
    if peak < FLAT:
        return None
    strong = np.where(standing >= 0.45 * peak, standing, 0.0)
    height, width = strong.shape
    xs, ys = strong.sum(axis=0), strong.sum(axis=1)
    left, right = core(xs)
    top, bottom = core(ys)
    x = float((xs * (np.arange(width) + 0.5)).sum() / xs.sum() / width)
    y = float((ys * (np.arange(height) + 0.5)).sum() / ys.sum() / height)
    inside = float(standing[top:bottom, left:right].mean())
    outside = float(
        (standing.sum() - standing[top:bottom, left:right].sum())
        / max(1, standing.size - (bottom - top) * (right - left))
    )
    box = Box(
        left / width * image.width,
        top / height * image.height,
        (right - left) / width * image.width,
        (bottom - top) / height * image.height,
    )
    return Focus(x, y, "saliency", (inside - outside) / (inside + outside), (box,))


def saliency(image: Image.Image) -> Map:
    """How much each place stands out, `(H, W)` with the longest side `SIDE`, in units of colour (0 to about 255)."""
    scale = min(1.0, SIDE / max(image.size))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = resample(image, width, height, (0.0, 0.0, float(image.width), float(image.height)), BILINEAR)
    blurred = small.filter(ImageFilter.GaussianBlur(SIDE / 48)).convert("YCbCr")
    colours = np.asarray(blurred, dtype=np.float64) * (0.7, 1.3, 1.3)
    from_mean = np.linalg.norm(colours - colours.mean(axis=(0, 1)), axis=2)
    # Several colours of the border, not its mean: sky above and grass below are both background.
    rows, columns = spread(height), spread(width)
    edge = np.concatenate([colours[0, columns], colours[-1, columns], colours[rows, 0], colours[rows, -1]])
    from_border = np.linalg.norm(colours[:, :, None, :] - edge, axis=3).min(axis=2)
    y, x = np.mgrid[0:height, 0:width]
    off = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5) / np.hypot(0.5, 0.5)
    return np.asarray((0.5 * from_mean + 0.5 * from_border) * (1 - CENTRE_PULL * off**2))


def spread(length: int) -> npt.NDArray[np.int64]:
    """Some places along an axis, its ends among them."""
    return np.linspace(0, length - 1, 9).round().astype(np.int64)


def core(sums: Map) -> tuple[int, int]:
    """First and last-but-one index of the middle 90% of a distribution."""
    shares = np.cumsum(sums) / sums.sum()
    return int(np.searchsorted(shares, 0.05)), int(np.searchsorted(shares, 0.95)) + 1
