"""A target of quality: the score is that of SSIMULACRA 2, the search is short, and what it finds reaches the target."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imajin_servers.processing import quality, wanted
from imajin_servers.processing.encode import Recipe, encode
from imajin_servers.processing.settings import Encoders
from imajin_servers.processing.ssimulacra import LEAST, MOST_TILES, Original, tiles

KINDS: tuple[quality.Tried, ...] = ("jpeg", "webp", "avif")


def scored(image: Image.Image, format: str, at: int) -> float:
    buffer = io.BytesIO()
    image.save(buffer, format, quality=at)
    return Original(image).score(Image.open(buffer).convert(image.mode))


@pytest.mark.parametrize(
    ("name", "at", "reference"),
    [
        # By the PyPI package ssimulacra2 0.3.0 on the same pixels; it looks at whole images and treats their edges otherwise.
        ("astronaut.png", 40, 63.3),
        ("astronaut.png", 85, 81.7),
        ("chelsea.png", 20, 37.1),
        ("chelsea.png", 75, 77.0),
        ("chelsea.png", 92, 87.8),
    ],
)
def test_scores_are_those_of_the_reference(photographs: Path, name: str, at: int, reference: float) -> None:
    image = Image.open(photographs / name).convert("RGB")
    assert scored(image, "JPEG", at) == pytest.approx(reference, abs=1.5 if reference > 60 else 3.5)


def test_the_same_pixels_score_a_hundred(astronaut: Image.Image) -> None:
    assert Original(astronaut).score(astronaut) == pytest.approx(100, abs=0.01)


def test_what_is_see_through_is_compared_over_grey(astronaut: Image.Image) -> None:
    seen = astronaut.convert("RGBA")
    seen.putalpha(Image.new("L", seen.size, 0))
    other = Image.new("RGBA", seen.size, (255, 0, 0, 0))
    assert Original(seen).score(other) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("size", [(1, 1), (7, 600), (9, 9), (300, 8)])
def test_small_and_narrow_images_are_scored(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8))
    blank = Image.new("RGB", size, (127, 127, 127))
    score = Original(image).score(blank)
    assert score < 60 or min(size) < LEAST


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_tiles_lie_inside_and_are_few(width: int, height: int) -> None:
    found = tiles(width, height)
    assert 1 <= len(found) <= MOST_TILES
    assert len(set(found)) == len(found)
    for left, top, right, bottom in found:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert max(right - left, bottom - top) <= 768
    if max(width, height) <= 1024:
        assert sum((right - left) * (bottom - top) for left, top, right, bottom in found) == width * height


@given(
    kind=st.sampled_from(KINDS),
    target=st.floats(1, 100),
    start=st.floats(-40, 60),
    rise=st.floats(0.2, 3),
    bend=st.floats(0.3, 3),
)
def test_a_search_is_short_and_ends_in_the_best_of_its_tries(
    kind: quality.Tried, target: float, start: float, rise: float, bend: float
) -> None:
    tries: dict[int, float] = {}

    def attempt(at: int) -> tuple[float, int]:
        assert quality.LOWEST <= at <= quality.HIGHEST
        assert at not in tries
        tries[at] = start + rise * 100 * (at / 100) ** bend
        return tries[at], at

    found = quality.lowest(target, kind, attempt)
    assert 1 <= len(tries) <= quality.MOST_TRIES
    assert (found.made, found.score) == (found.quality, tries[found.quality])
    reached = [at for at, score in tries.items() if score >= target]
    assert found.quality == (min(reached) if reached else max(tries, key=lambda at: tries[at]))


@given(kind=st.sampled_from(KINDS), target=st.floats(40, 85), shift=st.floats(-12, 12), slope=st.floats(0.8, 1.6))
def test_on_curves_as_pictures_have_them_a_search_comes_close(
    kind: quality.Tried, target: float, shift: float, slope: float
) -> None:
    def score(at: int) -> float:
        return target + slope * (quality.curve(kind, at) - target) + shift

    best = next((at for at in range(quality.LOWEST, quality.HIGHEST + 1) if score(at) >= target), None)
    found = quality.lowest(target, kind, lambda at: (score(at), None))
    if best is not None:
        assert found.score >= target
        assert found.quality <= best + 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_takes_the_fewest_bytes_that_reach_it(astronaut: Image.Image, kind: quality.Tried) -> None:
    image = astronaut.crop((100, 0, 356, 256))
    made = encode(image, Recipe(kind, target=70), Encoders())
    assert 70 <= made.score <= 73
    again = Image.open(io.BytesIO(made.data)).convert("RGB")
    assert Original(image).score(again) == pytest.approx(made.score, abs=0.01)
    lower = encode(image, Recipe(kind, made.quality - 5), Encoders())
    assert len(lower.data) < len(made.data)


def test_lossless_needs_no_search(astronaut: Image.Image) -> None:
    made = encode(astronaut.crop((0, 0, 64, 64)), Recipe("png", target=50), Encoders())
    assert (made.score, made.quality) == (100, 0)


def test_a_search_ends_when_nobody_waits_for_it(astronaut: Image.Image) -> None:
    image = astronaut.crop((0, 0, 64, 64))
    with wanted.until(lambda: True), pytest.raises(wanted.Unwanted):
        encode(image, Recipe("webp", target=50), Encoders())
    assert encode(image, Recipe("webp", target=50), Encoders()).score >= 50
