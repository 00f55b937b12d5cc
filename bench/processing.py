"""Derivatives, the default pipeline and focal crops of one 1536x1024 picture, side by side with the ways that people use.

Every way starts from the same file (or bare pixels) in memory and ends with encoded files in memory, one thread each, in turn
(A B C A B C ...), medians. `floor` is the encoding alone, of pixels that lie ready at their sizes: no way that uses the same encoder can
be faster. SSIM is that of the decoded files against Lanczos in floating point.

`python bench/processing.py [--sharp FOLDER] [--thumbor FILE]` writes bench/results/processing.{json,md}; see bench/peers.py for the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import struct
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from PIL import Image

from imajin_client.up.programs import TUNING
from imajin_servers.processing.crop import plan
from imajin_servers.processing.encode import Recipe
from imajin_servers.processing.picture import decoded
from imajin_servers.processing.pipeline import Cropped, Output, Resized, Work, make
from imajin_servers.processing.settings import Encoders, Limits
from imajin_servers.processing.work import Workshop
from imajin_servers.runtime.decoding.decode import inspect, inspect_raw
from imajin_servers.runtime.errors import ImageTooLarge
from noise import HEIGHT, WIDTH, large_jpeg, picture, png_of
from peers import (
    LANCZOS,
    Files,
    Sharp,
    Taken,
    Thumbor,
    Wanted,
    Way,
    has_vips,
    here,
    likeness,
    measure,
    pillow_each,
    pillow_once,
    references,
    saved,
    vips_each,
)
from results import FOLDER, Cell, write
from stall import stalls

WIDTHS = (320, 640, 1024, 1536)
LOADS = 20
CROPS = ((1200, 630), (300, 600), (1080, 1080))
RUNS = int(os.environ.get("IMAJIN_BENCH_RUNS", "5"))


def heights(widths: Sequence[int]) -> list[tuple[int, int]]:
    """The sizes of derivatives."""
    return [(width, round(HEIGHT * width / WIDTH)) for width in widths]


class Ours:
    """The server's own pipeline without the wire: inspect, strip, decode once, make in threads. Threads and loop live on, as a server's do."""

    def __init__(self, workers: int, **encoders: Any) -> None:
        self.workshop = Workshop(workers, 4, 1 << 40)
        self.encoders = Encoders(**encoders)
        self.loop = asyncio.new_event_loop()

    def way(self, data: bytes, works: Sequence[Work]) -> Way:
        """Makes `works` of `data`."""
        return here(lambda: self.loop.run_until_complete(self.made(data, works)))

    async def made(self, data: bytes, works: Sequence[Work]) -> Files:
        """The files, in the order of `works`."""
        async with self.workshop.call() as bench:
            if len(data) == WIDTH * HEIGHT * 3:
                source = await bench.run(inspect_raw, data, WIDTH, HEIGHT, Limits())
            else:
                source = await bench.run(inspect, data, Limits())
            image = await bench.run(decoded, source)
            outputs = [Output(number, str(number), work) for number, work in enumerate(works)]
            files = {item.output.index: item.file.data async for item in make(outputs, image, self.encoders, bench)}
            return [files[number] for number in range(len(works))]


def floor(images: Sequence[Image.Image], format: str, **options: Any) -> Files:
    """Encoding alone."""
    return [saved(image, format, **options) for image in images]


Row = list[Cell]


def rows(task: str, found: dict[str, Taken], base: str, wanted: list[np.ndarray] | None = None) -> list[Row]:
    """The table's rows of one task; `to floor` and `less` are ratios of CPU time: to the floor's, and of `base` to this."""
    return [
        [
            task,
            name,
            taken.cpu,
            taken.wall,
            taken.cpu / found["floor"].cpu,
            found[base].cpu / taken.cpu,
            sum(map(len, taken.files)),
            f"{likeness(taken.files, wanted):.4f}" if wanted else "",
        ]
        for name, taken in found.items()
    ]


def refusal(png: bytes) -> float:
    """Microseconds to refuse a PNG whose header says 100000 x 100000."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]
    times = []
    for _ in range(200):
        began = time.perf_counter()
        try:
            inspect(bomb, Limits())
        except ImageTooLarge:
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def family(
    given: argparse.Namespace, image: Image.Image, source: bytes, kind: str, title: str, **jpeg: Any
) -> list[Row]:
    """Four derivatives in one encoding, by every way."""
    name, encoding = kind.upper(), "webp" if kind == "webp" else "jpeg"
    sizes = heights(WIDTHS)
    works = [Resized(width, height, Recipe(encoding, 82)) for width, height in sizes]  # type: ignore[arg-type]
    settings = {"jpeg_progressive": jpeg["progressive"]} if jpeg else {}
    one, two = Ours(1, **settings), Ours(2, **settings)
    ready = [image.resize(size, LANCZOS) for size in sizes]
    wanted = [Wanted(*size) for size in sizes]
    pillow = "Pillow, file opened per width"
    ways: dict[str, Way] = {
        "imajin": one.way(source, works),
        "imajin, two threads": two.way(source, works),
        "imajin, from bare pixels": one.way(image.tobytes(), works),
        "floor": here(lambda: floor(ready, name, **jpeg)),
        pillow: here(lambda: pillow_each(source, wanted, name, **jpeg)),
        "Pillow, file opened once": here(lambda: pillow_once(source, wanted, name, **jpeg)),
    }
    if (image.width, image.height) != (WIDTH, HEIGHT):
        del ways["imajin, from bare pixels"]
    with ExitStack() as stack:
        ways |= others(given, stack, source, wanted, encoding, **jpeg)
        return rows(title, measure(ways, RUNS), pillow, references(image, sizes))


def others(
    given: argparse.Namespace, stack: ExitStack, source: bytes, wanted: Sequence[Wanted], encoding: str, **jpeg: Any
) -> dict[str, Way]:
    """The image servers' ways that are here, until `stack` is closed."""
    ways: dict[str, Way] = {}
    if has_vips():
        suffix = ".webp" if encoding == "webp" else ".jpg"
        vips = {"interlace": jpeg["progressive"], "optimize_coding": jpeg["progressive"]} if jpeg else {"effort": 4}
        ways["pyvips, thumbnail for each"] = here(lambda: vips_each(source, wanted, suffix, **vips))
    if given.sharp:
        sharp = Sharp(given.sharp)
        stack.callback(sharp.close)
        options = {"progressive": jpeg["progressive"], "optimizeCoding": jpeg["progressive"]} if jpeg else {"effort": 4}
        ways["sharp, opened for each"] = sharp.way(source, wanted, encoding, **options)
    if given.thumbor:
        thumbor = Thumbor(given.thumbor)
        stack.callback(thumbor.close)
        ways["Thumbor, a request for each"] = thumbor.way(source, wanted, encoding)
    return ways


def crops(given: argparse.Namespace, image: Image.Image, png: bytes) -> list[Row]:
    """Three focal crops."""
    cuts = [plan((WIDTH, HEIGHT), size, (WIDTH * 0.4, HEIGHT * 0.4)) for size in CROPS]
    wanted = [
        Wanted(*size, box=(cut.box.left, cut.box.top, cut.box.right, cut.box.bottom))
        for cut, size in zip(cuts, CROPS, strict=True)
    ]
    ready = [image.resize((each.width, each.height), LANCZOS, box=each.box) for each in wanted]
    works = [Cropped(cut, *size, Recipe("webp", 82)) for cut, size in zip(cuts, CROPS, strict=True)]
    ways = {
        "imajin": Ours(1).way(png, works),
        "floor": here(lambda: floor(ready, "WEBP")),
        "Pillow, file opened per crop": here(lambda: pillow_each(png, wanted, "WEBP")),
    }
    with ExitStack() as stack:
        ways |= others(given, stack, png, wanted, "webp")
        return rows("three focal crops", measure(ways, RUNS), "Pillow, file opened per crop")


def default(given: argparse.Namespace, image: Image.Image, png: bytes) -> list[Row]:
    """What a call makes that says nothing: optimize, convert-webp and four derivatives, of which one is optimize again."""
    sizes = heights(WIDTHS)
    wanted = [Wanted(WIDTH, HEIGHT), Wanted(WIDTH, HEIGHT, 90), *(Wanted(*size) for size in sizes)]
    works = [Resized(each.width, each.height, Recipe("webp", each.quality)) for each in wanted]
    ready = [image.resize(size, LANCZOS) for size in sizes[:-1]]

    def encoding() -> Files:
        return [saved(image, "WEBP"), saved(image, "WEBP", quality=90), *floor(ready, "WEBP")]

    ways = {
        "imajin": Ours(1).way(png, works),
        "imajin, two threads": Ours(2).way(png, works),
        "floor": here(encoding),
        "Pillow, file opened per file": here(lambda: pillow_each(png, wanted, "WEBP")),
    }
    with ExitStack() as stack:
        ways |= others(given, stack, png, wanted, "webp")
        return rows("default pipeline", measure(ways, RUNS), "Pillow, file opened per file")


def load() -> list[Row]:
    """Eight default pipelines at once through the server, `LOADS` times, and how long the event loop stood still at most."""
    spent = time.process_time()
    seen = asyncio.run(stalls(8, LOADS))
    cpu = (time.process_time() - spent) * 1000 / LOADS
    still = [stall for stall, _ in seen]
    way = f"event loop still for {max(still):.0f} ms at most in {LOADS} runs, {statistics.median(still):.0f} in the median one"
    wall = statistics.median(wall for _, wall in seen)
    return [["8 default pipelines at once", way, cpu, wall, "", "", "", ""]]


def with_rest(table: list[Row]) -> list[Row]:
    """`table` in place of the rows of the same tasks in the last results."""
    last: list[Row] = json.loads((FOLDER / "processing.json").read_text())["rows"]
    new: dict[Cell, list[Row]] = {}
    for row in table:
        new.setdefault(row[0], []).append(row)
    tasks = dict.fromkeys(row[0] for row in [*last, *table])
    return [row for task in tasks for row in new.get(task) or [each for each in last if each[0] == task]]


def main() -> None:
    """Runs everything and writes the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sharp", default="", help="folder with sharp in its node_modules")
    parser.add_argument("--thumbor", default="", help="thumbor's program")
    parser.add_argument(
        "--task", action="append", help="only this one; the other rows stay as they were measured before"
    )
    given = parser.parse_args()
    busy = os.getloadavg()[0]
    image = picture()
    png = png_of(image)
    photo, camera = large_jpeg(image)
    tasks: dict[str, Callable[[], list[Row]]] = {
        "webp": lambda: family(given, image, png, "webp", "four WebP of a PNG"),
        "progressive": lambda: family(given, image, png, "jpeg", "four progressive JPEG of a PNG", progressive=True),
        "plain": lambda: family(given, image, png, "jpeg", "four plain JPEG of a PNG", progressive=False),
        "large": lambda: family(given, photo, camera, "jpeg", "four plain JPEG of a large JPEG", progressive=False),
        "crops": lambda: crops(given, image, png),
        "default": lambda: default(given, image, png),
        "load": load,
    }
    table = [row for name, task in tasks.items() if name in (given.task or tasks) for row in task()]
    measured = dict.fromkeys(str(row[0]) for row in table)
    if given.task:
        table = with_rest(table)
    ways = " ".join(str(row[1]) for row in table)
    absent = [name for name in ("pyvips", "sharp", "Thumbor") if name not in ways]
    note = (
        "`to floor` is CPU against encoding alone, `less` how many times less CPU than Pillow opening the file for each. Bare pixels are what the suite's "
        "own servers send. Thumbor's JPEGs are progressive always; its CPU is its server's.\n\n"
        "Under load the client is a process of its own; CPU is the server's. "
        f"A 100000 x 100000 header is refused in {refusal(png):.0f} us. "
        f"The machine's load average was {busy:.1f} before the run: above 0, wall times and the event loop's are of the load, CPU times little. "
        "The 1536 px derivative and optimize are the same bytes: the default pipeline encodes them once."
        + (f" Of this run are only: {', '.join(measured)}; the rest are of earlier ones." if given.task else "")
        + (f" Not here to be compared with: {', '.join(absent)}." if absent else "")
    )
    write(
        "processing",
        f"One {WIDTH}x{HEIGHT} picture, medians of {RUNS} interleaved runs",
        ["task", "way", "CPU ms", "wall ms", "to floor", "less", "bytes", "SSIM"],
        table,
        note,
    )


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in TUNING.items()):
        # Memory as `imajin up` tunes it for the servers; the same for every way.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **TUNING})
    main()
