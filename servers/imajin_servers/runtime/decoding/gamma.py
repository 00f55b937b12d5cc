"""The gamma that a PNG may state in place of a colour profile (its gAMA chunk): applied as browsers do, primaries taken for sRGB's.

https://www.w3.org/TR/png-3/#11gAMA
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

USUAL = 1 / 2.2
"""What nearly all files state that state one: sRGB's curve is meant."""
SANE = (0.1, 2.0)


def stated(info: Mapping[Any, Any]) -> float | None:
    """The gamma of a file, by what Pillow found in it; None where a profile or an sRGB chunk says more, or it changes nothing."""
    gamma = info.get("gamma")
    if not isinstance(gamma, float) or "icc_profile" in info or "srgb" in info:
        return None
    if not SANE[0] <= gamma <= SANE[1] or abs(gamma / USUAL - 1) < 0.02:
        return None
    return gamma


def to_srgb(image: Image.Image, gamma: float) -> Image.Image:
    """RGB or RGBA whose samples are light to the power of `gamma`, as sRGB. Alpha stays."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    table = np.rint(255 * curve).astype(int).tolist()
    return image.point(table * 3 + list(range(256)) * (image.mode == "RGBA"))
