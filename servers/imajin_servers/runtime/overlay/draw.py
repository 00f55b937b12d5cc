"""Letters onto pixels."""

from __future__ import annotations

from PIL import Image, ImageDraw

from imajin_servers.runtime.overlay.font import font
from imajin_servers.runtime.overlay.layout import MARGIN, Layout, check_text, check_watermark
from imajin_servers.runtime.overlay.wishes import Anchor, Colour, TextOverlay, Watermark


def draw_text(image: Image.Image, wish: TextOverlay) -> Image.Image:
    """A copy of `image` (RGB or RGBA) with the text on it. Raises InvalidArgument where the text can't be drawn."""
    layout = check_text(wish, image.width, image.height)
    return drawn(image, layout, wish.position, wish.color, wish.stroke_color)


def draw_watermark(image: Image.Image, wish: Watermark) -> Image.Image:
    """A copy of `image` (RGB or RGBA) with the mark on it. Raises InvalidArgument where the mark can't be drawn."""
    layout = check_watermark(wish, image.width, image.height)
    opacity = round(255 * min(1.0, wish.opacity))
    return drawn(image, layout, wish.position, (255, 255, 255, opacity), (0, 0, 0, opacity))


def drawn(image: Image.Image, layout: Layout, position: Anchor, fill: Colour, outline: Colour) -> Image.Image:
    """A copy of `image` with the lines of `layout` on it, the outline below the letters."""
    copy = image.copy() if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    margin = round(min(image.size) * MARGIN)
    across, down = position.value
    left = margin + round((image.width - 2 * margin - layout.width) * across)
    top = margin + round((image.height - 2 * margin - layout.height) * down)
    if layout.stroke:
        copy.paste(outline, (left, top), mask(layout, across, outline[3], layout.stroke))
    copy.paste(fill, (left, top), mask(layout, across, fill[3], 0))
    return copy


def mask(layout: Layout, across: float, opacity: int, stroke: int) -> Image.Image:
    """The letters, `stroke` pixels fatter, as opacities; lines lean to the side of the anchor."""
    block = Image.new("L", (layout.width, layout.height))
    brush = ImageDraw.Draw(block)
    letters = font(layout.size)
    ascent, _ = letters.getmetrics()
    for number, line in enumerate(layout.lines):
        free = layout.width - 2 * layout.stroke - letters.getlength(line)
        place = (layout.stroke + free * across, layout.stroke + number * layout.line_height + ascent)
        brush.text(place, line, font=letters, fill=opacity, anchor="ls", stroke_width=stroke, stroke_fill=opacity)
    return block
