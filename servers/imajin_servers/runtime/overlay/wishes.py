"""What to write, where and how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Colour = tuple[int, int, int, int]
"""Red, green, blue and opacity, each 0 to 255."""


class Anchor(Enum):
    """Nine places in an image, as shares of the free room: `(left of the text, above the text)`."""

    TOP_LEFT = (0.0, 0.0)
    TOP = (0.5, 0.0)
    TOP_RIGHT = (1.0, 0.0)
    LEFT = (0.0, 0.5)
    CENTER = (0.5, 0.5)
    RIGHT = (1.0, 0.5)
    BOTTOM_LEFT = (0.0, 1.0)
    BOTTOM = (0.5, 1.0)
    BOTTOM_RIGHT = (1.0, 1.0)


@dataclass(frozen=True)
class TextOverlay:
    """Text over an image. `size` is the height of the letters as a fraction of the image's height, `stroke_width` of the letters'."""

    text: str
    position: Anchor = Anchor.BOTTOM
    size: float = 0.08
    color: Colour = (255, 255, 255, 255)
    stroke_color: Colour = (0, 0, 0, 255)
    stroke_width: float = 0.06


@dataclass(frozen=True)
class Watermark:
    """A visible mark on one line. `opacity` is 0 to 1."""

    text: str = "imajin"
    position: Anchor = Anchor.BOTTOM_RIGHT
    opacity: float = 0.5


def colour(text: str, otherwise: Colour) -> Colour:
    """`#rrggbb` or `#rrggbbaa` as numbers; `otherwise` when empty."""
    if not text:
        return otherwise
    digits = text.removeprefix("#")
    red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
    return red, green, blue, int(digits[6:8] or "ff", 16)
