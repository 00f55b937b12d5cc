"""The font that ships: which characters it covers on this host, and how long a text becomes.

One file of merged Noto Sans (see fonts/README.md). Scripts whose letters join, stack or run from the right need shaping,
which Pillow does where the host has libfribidi.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont, features

FONTS = Path(__file__).parent / "fonts"
FONT = FONTS / "noto-sans-semibold.ttf"
SHAPED = range(0x0590, 0x0E80)
"""Hebrew, Arabic, Indic and Thai."""
SELECTORS = dict.fromkeys([0xFE0E, 0xFE0F])
"""They choose between text and emoji; the font has one form of each."""


@cache
def shapes() -> bool:
    """Whether this host can shape."""
    # Without libfribidi Pillow falls back to basic layout, raqm or not.
    return bool(features.check("raqm") and features.check("fribidi"))


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels an em."""
    engine = ImageFont.Layout.RAQM if shapes() else ImageFont.Layout.BASIC
    return ImageFont.truetype(str(FONT), size, layout_engine=engine)


@cache
def coverage() -> tuple[list[int], list[int]]:
    """First and last code points of the runs that the font covers, sorted."""
    runs = [line.split("-") for line in (FONTS / "coverage.txt").read_text().split()]
    return [int(first, 16) for first, _ in runs], [int(last, 16) for _, last in runs]


def covers(character: str) -> bool:
    """Whether `character` can be drawn on this host."""
    if character == "\n":
        return True
    if unicodedata.category(character) == "Cc":
        return False
    code = ord(character)
    if code in SHAPED and not shapes():
        return False
    firsts, lasts = coverage()
    at = bisect_right(firsts, code) - 1
    return at >= 0 and code <= lasts[at]


def composed(text: str) -> str:
    """`text` with letters and their marks in one character where Unicode has it, without variation selectors."""
    return unicodedata.normalize("NFC", text).translate(SELECTORS)


def missing(text: str) -> list[str]:
    """The characters of `text` that can't be drawn, each once, in order."""
    return [character for character in dict.fromkeys(text) if not covers(character)]
