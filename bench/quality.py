"""Bytes and time of WebP, AVIF and JPEG at the same score: eight photographs, targets of 60, 70 and 80 on the scale of SSIMULACRA 2.

For each way and photograph the lowest quality that reaches the target is searched as the server does it. Bytes are the geometric mean of the
ratio to WebP's; CPU is that of the one encoding at the quality that was found, per megapixel, and that of the whole search.
`python bench/quality.py` writes bench/results/quality.{json,md}; the photographs come in the scikit-image wheel.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from imajin_servers.processing.encode import Encoded, Recipe, encode, once
from imajin_servers.processing.settings import Encoders
from imajin_servers.processing.ssimulacra import Original
from results import Cell, write

PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
TARGETS = (60, 70, 80)
LONGEST = 640
"""Longest side, in pixels: larger ones are reduced to it."""


@dataclass(frozen=True)
class Way:
    """How to encode."""

    name: str
    recipe: Recipe
    encoders: Encoders


WAYS = (
    Way("WebP, method 4", Recipe("webp"), Encoders()),
    Way("WebP, method 6", Recipe("webp"), Encoders(webp_method=6)),
    Way("AVIF, speed 10", Recipe("avif"), Encoders(avif_speed=10)),
    Way("AVIF, speed 8", Recipe("avif"), Encoders(avif_speed=8)),
    Way("AVIF, speed 6", Recipe("avif"), Encoders(avif_speed=6)),
    Way("JPEG, progressive", Recipe("jpeg"), Encoders()),
    Way("JPEG, plain", Recipe("jpeg"), Encoders(jpeg_progressive=False)),
)


@dataclass(frozen=True)
class Found:
    """What a search found for one photograph, and the milliseconds of its encoding and of the search, per megapixel."""

    file: Encoded
    encoding: float
    search: float


def photographs() -> list[Image.Image]:
    """Those of the scikit-image wheel, in RGB."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    return [Image.open(folder / name).convert("RGB") for name in PHOTOGRAPHS]


def found(image: Image.Image, way: Way, target: float) -> Found:
    """Searches, then encodes once more for the time."""
    megapixels = image.width * image.height / 1e6
    began = time.process_time()
    file = encode(image, Recipe(way.recipe.format, target=target), way.encoders)
    searched = time.process_time() - began
    began = time.process_time()
    once(image.copy(), Recipe(way.recipe.format, file.quality), way.encoders)
    return Found(file, (time.process_time() - began) * 1000 / megapixels, searched * 1000 / megapixels)


def scoring(images: list[Image.Image]) -> tuple[float, float]:
    """Milliseconds per megapixel to prepare an original, and to score one try."""
    prepared, scored, pixels = 0.0, 0.0, 0.0
    for image in images:
        began = time.process_time()
        original = Original(image)
        prepared += time.process_time() - began
        began = time.process_time()
        original.score(image)
        scored += time.process_time() - began
        pixels += image.width * image.height / 1e6
    return prepared * 1000 / pixels, scored * 1000 / pixels


def main() -> None:
    """Runs everything and writes the table."""
    images = photographs()
    for image in images:
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    table: list[list[Cell]] = []
    missed = 0
    for target in TARGETS:
        base: list[int] = []
        for way in WAYS:
            results = [found(image, way, target) for image in images]
            sizes = [len(each.file.data) for each in results]
            base = base or sizes
            # A photograph that the target is too high for, in either encoding, can't be compared.
            fair = [number for number, each in enumerate(results) if each.file.score >= target]
            missed += len(results) - len(fair)
            ratio = math.exp(statistics.mean(math.log(sizes[number] / base[number]) for number in fair))
            table.append(
                [
                    str(target),
                    way.name,
                    ratio,
                    statistics.mean(results[number].file.score for number in fair),
                    statistics.median(results[number].file.quality for number in fair),
                    statistics.median(each.encoding for each in results),
                    statistics.median(each.search for each in results),
                ]
            )
    prepare, score = scoring(images)
    note = (
        f"Preparing an original for comparison takes {prepare:.0f} ms a megapixel of CPU, scoring one try {score:.0f} ms. "
        f"A search makes at most 4 encodings. {missed} of {len(TARGETS) * len(WAYS) * len(images)} searches ended below their target, because no quality "
        "up to 98 reaches it with colour at half resolution; they are left out of the means."
    )
    write(
        "quality",
        "Bytes and time at the same score: eight photographs",
        ["target", "way", "bytes to WebP's", "score", "quality", "encoding, ms/MP", "search, ms/MP"],
        table,
        note,
    )


if __name__ == "__main__":
    main()
