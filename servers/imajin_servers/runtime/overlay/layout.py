"""Where each line goes: text is wrapped at words, then made smaller until it fits."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from imajin_servers.runtime.errors import InvalidArgument
from imajin_servers.runtime.overlay.font import composed, font, missing
from imajin_servers.runtime.overlay.wishes import TextOverlay, Watermark

MARGIN = 0.05
"""Kept free at each edge, as a fraction of the smaller side."""
SMALLEST = 6
"""Pixels an em below which letters can't be read."""
WATERMARK_SIZE = 0.04
"""Height of a watermark as a fraction of the image's height."""
SHRINK = 0.9


@dataclass(frozen=True)
class Layout:
    """Lines at a size. `width` and `height` are those of the block, in pixels, outline included."""

    lines: tuple[str, ...]
    size: int
    stroke: int
    line_height: int
    width: int
    height: int


def check_text(wish: TextOverlay, width: int, height: int) -> Layout:
    """Lays `wish` out in an image of `width` x `height` pixels. Raises InvalidArgument where it can't be drawn."""
    text = drawable(wish.text, "text_overlay.text")
    size = max(SMALLEST, round(wish.size * height))
    return fitted(text, size, wish.stroke_width, width, height, "text_overlay.text", wraps=True)


def check_watermark(wish: Watermark, width: int, height: int) -> Layout:
    """Lays `wish` out in an image of `width` x `height` pixels. Raises InvalidArgument where it can't be drawn."""
    text = drawable(wish.text, "watermark.text")
    size = max(2 * SMALLEST, round(WATERMARK_SIZE * height))
    return fitted(text, size, 0.06, width, height, "watermark.text", wraps=False)


def drawable(text: str, field: str) -> str:
    """`text` as it is drawn. Raises InvalidArgument that names what the font lacks."""
    text = composed(text)
    lacking = missing(text)
    if lacking:
        names = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in lacking[:8])
        raise InvalidArgument.field(field, f"the font has no glyph for {names}")
    if not text.strip():
        raise InvalidArgument.field(field, "is blank")
    return text


def fitted(text: str, size: int, stroke: float, width: int, height: int, field: str, *, wraps: bool) -> Layout:
    """The largest layout up to `size` that leaves the margins free. Raises InvalidArgument below the smallest."""
    margin = round(min(width, height) * MARGIN)
    room, tall = width - 2 * margin, height - 2 * margin
    while True:
        found = laid_out(text, size, stroke, room if wraps else None)
        if found.width <= room and found.height <= tall:
            return found
        if size <= SMALLEST:
            raise InvalidArgument.field(field, f"is too long for an image of {width}x{height} pixels")
        size = max(SMALLEST, int(size * SHRINK))


def laid_out(text: str, size: int, stroke: float, room: int | None) -> Layout:
    """`text` at `size`, its lines no longer than `room` pixels."""
    letters = font(size)
    outline = round(size * stroke)
    inner = None if room is None else room - 2 * outline
    lines = tuple(line for part in text.split("\n") for line in (wrapped(part, size, inner) if inner else [part]))
    ascent, descent = letters.getmetrics()
    widest = max(letters.getlength(line) for line in lines)
    line_height = ascent + descent
    return Layout(
        lines, size, outline, line_height, int(widest + 0.999) + 2 * outline, line_height * len(lines) + 2 * outline
    )


def wrapped(text: str, size: int, room: int) -> list[str]:
    """`text` cut at spaces into lines of at most `room` pixels; a word that is longer is cut within."""
    letters = font(size)
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if letters.getlength(longer) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        *full, line = cut(word, size, room)
        lines.extend(full)
    return [*lines, line]


def cut(word: str, size: int, room: int) -> list[str]:
    """`word` in pieces of at most `room` pixels; marks stay with their letter."""
    letters = font(size)
    pieces = [""]
    for character in word:
        mark = unicodedata.category(character).startswith("M")
        if pieces[-1] and not mark and letters.getlength(pieces[-1] + character) > room:
            pieces.append("")
        pieces[-1] += character
    return pieces
