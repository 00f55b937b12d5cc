"""Text and watermarks: where they land, that they fit, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imajin.common.v1 import finishing_pb2
from imajin_servers.runtime.errors import InvalidArgument
from imajin_servers.runtime.overlay import (
    Anchor,
    TextOverlay,
    Watermark,
    check_text,
    draw_text,
    draw_watermark,
    text_from_proto,
    watermark_from_proto,
)

GREY = (128, 128, 128)


def changed(image: Image.Image, other: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what differs, as fractions times 100."""
    difference = (np.asarray(image) != np.asarray(other)).any(axis=2)
    rows, columns = np.flatnonzero(difference.any(axis=1)), np.flatnonzero(difference.any(axis=0))
    height, width = difference.shape
    return (
        int(columns[0] * 100 / width),
        int(rows[0] * 100 / height),
        int((columns[-1] + 1) * 100 / width),
        int((rows[-1] + 1) * 100 / height),
    )


@pytest.mark.parametrize("anchor", list(Anchor))
def test_letters_land_at_their_anchor_inside_the_image(anchor: Anchor) -> None:
    image = Image.new("RGB", (400, 300), GREY)
    left, top, right, bottom = changed(image, draw_text(image, TextOverlay("Hello", anchor, 0.1)))
    across, down = anchor.value
    middle = (left + right) / 2, (top + bottom) / 2
    assert abs(middle[0] - (17 + 66 * across)) < 12
    assert abs(middle[1] - (12 + 76 * down)) < 12
    assert left >= 3
    assert right <= 97


def test_the_original_is_left_alone() -> None:
    image = Image.new("RGB", (200, 100), GREY)
    draw_text(image, TextOverlay("Hello"))
    draw_watermark(image, Watermark())
    assert image.getcolors() == [(200 * 100, GREY)]


@pytest.mark.parametrize(
    "text", ["Zürich ½ €", "Ελληνικά", "Кириллица", "Հայերեն", "ქართული", "Tiếng Việt", "e\u0301te\u0301", "a\u200db"]
)
def test_these_scripts_are_drawn_everywhere(text: str) -> None:
    image = Image.new("RGB", (400, 200), GREY)
    assert draw_text(image, TextOverlay(text)).tobytes() != image.tobytes()


@pytest.mark.parametrize("text", ["漢字", "😀", "a\u0007", "ꦗ"])
def test_what_the_font_lacks_is_named(text: str) -> None:
    with pytest.raises(InvalidArgument, match="U\\+") as refused:
        check_text(TextOverlay(text), 400, 200)
    assert refused.value.violations[0].field == "text_overlay.text"


def test_long_text_wraps_at_words_then_shrinks() -> None:
    short = check_text(TextOverlay("one two three", size=0.2), 1000, 300)
    long = check_text(TextOverlay("one two three " * 8, size=0.2), 1000, 300)
    assert len(short.lines) == 1
    assert len(long.lines) > 1
    assert long.size < short.size
    assert " ".join(long.lines).split() == ("one two three " * 8).split()


def test_a_word_too_long_for_a_line_is_cut() -> None:
    layout = check_text(TextOverlay("x" * 100, size=0.2), 300, 300)
    assert "".join(layout.lines) == "x" * 100
    assert len(layout.lines) > 1


def test_lines_break_where_the_text_says() -> None:
    assert check_text(TextOverlay("a\n\nb"), 300, 300).lines == ("a", "", "b")


def test_colours_and_opacity() -> None:
    image = Image.new("RGB", (300, 100), (0, 0, 0))
    wish = text_from_proto(finishing_pb2.TextOverlay(text="IIII", size=0.5, color="#00ff0080", stroke_width=0.0))
    colours = {colour for _, colour in draw_text(image, wish).getcolors(100_000) or []}
    assert max(green for _, green, _ in colours) == 128  # type: ignore[misc]
    assert all(red == blue == 0 for red, _, blue in colours)  # type: ignore[misc]


def test_the_contracts_defaults() -> None:
    wish = text_from_proto(finishing_pb2.TextOverlay(text="a"))
    assert wish == TextOverlay("a", Anchor.BOTTOM, 0.08, (255, 255, 255, 255), (0, 0, 0, 255), 0.06)
    assert text_from_proto(finishing_pb2.TextOverlay(text="a", stroke_width=0.0)).stroke_width == 0
    assert watermark_from_proto(finishing_pb2.Watermark()) == Watermark("imajin", Anchor.BOTTOM_RIGHT, 0.5)
    named = watermark_from_proto(finishing_pb2.Watermark(text="me", position=finishing_pb2.ANCHOR_TOP_LEFT, opacity=1))
    assert named == Watermark("me", Anchor.TOP_LEFT, 1.0)


def test_a_watermark_is_as_opaque_as_asked() -> None:
    image = Image.new("RGB", (400, 300), GREY)
    faint = np.abs(np.asarray(draw_watermark(image, Watermark(opacity=0.1)), int) - 128).max()
    strong = np.abs(np.asarray(draw_watermark(image, Watermark(opacity=1.0)), int) - 128).max()
    assert 0 < faint < strong


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.integers(64, 600),
    st.integers(64, 600),
    st.floats(0.01, 0.5),
    st.sampled_from(list(Anchor)),
)
def test_any_text_is_drawn_inside_or_refused(text: str, width: int, height: int, size: float, anchor: Anchor) -> None:
    image = Image.new("RGB", (width, height), GREY)
    wish = TextOverlay(text, anchor, size)
    try:
        layout = check_text(wish, width, height)
    except InvalidArgument:
        return
    assert layout.width <= width
    assert layout.height <= height
    assert draw_text(image, wish).size == (width, height)
