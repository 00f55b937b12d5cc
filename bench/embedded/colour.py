"""Which named colour a picture's subject has."""

from __future__ import annotations

import numpy as np
import scenes
from PIL import Image


def main_colour(picture: np.ndarray) -> str:
    """The named colour of most pixels that aren't background (the border's median), highlights, outlines or
    eyes.
    """
    x = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BOX)).astype(np.float32)
    border = np.median(np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]]), 0)
    subject = x[np.abs(x - border).max(-1) > 40]
    if len(subject) < 30:
        return "none"
    names = list(scenes.COLOURS)
    wanted = lab(np.asarray([scenes.COLOURS[n] for n in names], np.float32))
    got = lab(subject)
    # lightness counts less than hue: shading isn't another colour
    distance = np.linalg.norm((got[:, None] - wanted[None]) * np.array([0.45, 1, 1], np.float32), axis=-1)
    votes = np.bincount(distance.argmin(1), minlength=len(names)).astype(float)
    return names[int(votes.argmax())]


def lab(rgb: np.ndarray) -> np.ndarray:
    """From sRGB 0..255 to CIE Lab (D65), (..., 3)."""
    c = rgb / 255
    c = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = (
        c
        @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
        / np.array([0.9505, 1, 1.089])
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)
