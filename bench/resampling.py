"""Whether reducing is as good as Pillow's Lanczos, and what it costs: eight photographs at four widths, ours and Pillow's in turn.

Both are compared by SSIM with Lanczos in floating point: the pixels as they come out, and once more after WebP at quality 82, where a level
more or less somewhere makes other files. CPU time is the least of the rounds, of all sizes of a photograph together.
`python bench/resampling.py` writes bench/results/resampling.{json,md}; the photographs come in the scikit-image wheel.
"""

from __future__ import annotations

import io
import os
import statistics
import time
from collections.abc import Callable

from PIL import Image

from imajin_servers.processing.resize import resize
from peers import LANCZOS, luma, references, saved, ssim
from quality import photographs
from results import Cell, write

WIDTHS = (512, 320, 192, 96)
ROUNDS = int(os.environ.get("IMAJIN_BENCH_ROUNDS", "5"))
WAYS: dict[str, Callable[[Image.Image, tuple[int, int]], Image.Image]] = {
    "Pillow": lambda image, size: image.resize(size, LANCZOS),
    "imajin": lambda image, size: resize(image, *size),
}


def written(image: Image.Image) -> Image.Image:
    """`image` after WebP at quality 82."""
    return Image.open(io.BytesIO(saved(image, "WEBP"))).convert("RGB")


def spent(image: Image.Image, sizes: list[tuple[int, int]]) -> dict[str, float]:
    """CPU milliseconds of each way, least of the rounds, the ways in turn."""
    least = dict.fromkeys(WAYS, float("inf"))
    for _ in range(ROUNDS):
        for way, reduce in WAYS.items():
            began = time.process_time()
            for size in sizes:
                reduce(image, size)
            least[way] = min(least[way], (time.process_time() - began) * 1000)
    return least


def main() -> None:
    """Compares and writes."""
    plain: dict[str, list[float]] = {way: [] for way in WAYS}
    encoded: dict[str, list[float]] = {way: [] for way in WAYS}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for image in photographs():
        sizes = [(width, round(image.height * width / image.width)) for width in WIDTHS if width < image.width]
        wanted = references(image, sizes)
        for way, milliseconds in spent(image, sizes).items():
            times[way].append(milliseconds)
        for way, reduce in WAYS.items():
            made = [reduce(image, size) for size in sizes]
            pairs = list(zip(made, wanted, strict=True))
            plain[way] += [ssim(luma(one), reference) for one, reference in pairs]
            encoded[way] += [ssim(luma(written(one)), reference) for one, reference in pairs]
    rows: list[list[Cell]] = []
    for way in WAYS:
        row: list[Cell] = [way]
        for scores in (plain, encoded):
            less = [own - other for own, other in zip(scores[way], scores["Pillow"], strict=True)]
            row += [f"{statistics.mean(scores[way]):.5f}", f"{statistics.mean(less):+.5f}", f"{min(less):+.5f}"]
        cpu = sum(times[way])
        rows.append([*row, cpu, cpu / sum(times["Pillow"])])
    write(
        "resampling",
        "Reducing photographs: SSIM to Lanczos in floating point",
        ["way", "pixels", "to Pillow, mean", "worst", "after WebP 82", "to Pillow, mean", "worst", "CPU ms", "ratio"],
        rows,
        f"{len(plain['Pillow'])} pictures: eight photographs at widths of {', '.join(map(str, WIDTHS))} where they are wider.",
    )


if __name__ == "__main__":
    main()
