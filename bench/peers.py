"""Other ways to the same derivatives: Pillow, libvips by pyvips, sharp (npm), and a Thumbor server. Each from the same PNG.

sharp and Thumbor are no dependencies: `--sharp FOLDER` names a folder with sharp in its node_modules (`npm install sharp`), `--thumbor
FILE` the program of an environment of its own (`pip install thumbor`). Without them their rows are left out, and the bench says so.
"""

from __future__ import annotations

import io
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LANCZOS = Image.Resampling.LANCZOS
Files = list[bytes]
Sizes = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Wanted:
    """A file to make: its size in pixels, the encoder's quality, and the part of the source (left, top, right, bottom) that it shows."""

    width: int
    height: int
    quality: int = 82
    box: tuple[float, float, float, float] | None = None

    @property
    def pixels(self) -> tuple[int, int, int, int] | None:
        """`box` in whole pixels, for those that can't cut finer."""
        if self.box is None:
            return None
        left, top, right, bottom = map(round, self.box)
        return left, top, right, bottom


@dataclass(frozen=True)
class Taken:
    """What one run took: CPU and wall milliseconds, and the files."""

    cpu: float
    wall: float
    files: Files


Way = Callable[[], Taken]


def here(work: Callable[[], Files]) -> Way:
    """`work` in this process."""

    def run() -> Taken:
        began, spent = time.perf_counter(), time.process_time()
        files = work()
        return Taken((time.process_time() - spent) * 1000, (time.perf_counter() - began) * 1000, files)

    return run


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    """`image` encoded as the server encodes by default, at quality 82."""
    out = io.BytesIO()
    usual: dict[str, Any] = {"WEBP": {"method": 4}, "JPEG": {"progressive": True}}.get(format, {})
    image.save(out, format, **{"quality": 82, **usual, **options})
    return out.getvalue()


def pillow_each(source: bytes, wanted: Sequence[Wanted], format: str, **options: Any) -> Files:
    """Pillow, opening the file for every file that it makes."""
    return [shrunk(Image.open(io.BytesIO(source)).convert("RGB"), each, format, **options) for each in wanted]


def pillow_once(source: bytes, wanted: Sequence[Wanted], format: str, **options: Any) -> Files:
    """Pillow, opening the file once."""
    image = Image.open(io.BytesIO(source)).convert("RGB")
    return [shrunk(image, each, format, **options) for each in wanted]


def shrunk(image: Image.Image, wanted: Wanted, format: str, **options: Any) -> bytes:
    """One file by Pillow."""
    small = image.resize((wanted.width, wanted.height), LANCZOS, box=wanted.box)
    return saved(small, format, **{"quality": wanted.quality, **options})


def vips_each(source: bytes, wanted: Sequence[Wanted], suffix: str, **options: Any) -> Files:
    """libvips, opening the file for every file that it makes; decode and shrink in one where nothing is cut off."""
    import pyvips

    def small(each: Wanted) -> Any:
        if each.pixels is None:
            return pyvips.Image.thumbnail_buffer(source, each.width, height=each.height, size="force")
        left, top, right, bottom = each.pixels
        part = pyvips.Image.new_from_buffer(source, "").crop(left, top, right - left, bottom - top)
        return part.thumbnail_image(each.width, height=each.height, size="force")

    return [small(each).write_to_buffer(suffix, Q=each.quality, **options) for each in wanted]


def has_vips() -> bool:
    """Whether pyvips can be used here. It is given one thread, as every way is."""
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    try:
        import pyvips
    except (ImportError, OSError):
        return False
    pyvips.cache_set_max(0)
    return True


class Sharp:
    """A node process that has sharp loaded."""

    def __init__(self, folder: str) -> None:
        script = Path(__file__).with_name("sharp.mjs")
        self.process = subprocess.Popen(
            ["node", str(script), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.out = tempfile.TemporaryDirectory()

    def way(self, source: bytes, wanted: Sequence[Wanted], format: str, **options: Any) -> Way:
        """sharp, opening the file for every file that it makes, as its users do."""
        path = Path(self.out.name) / f"source-{len(source)}"
        path.write_bytes(source)
        command = {
            "source": str(path),
            "format": format,
            "options": options,
            "wanted": [[each.width, each.height, each.quality, each.pixels] for each in wanted],
            "threads": 1,
            "out": self.out.name,
        }

        def run() -> Taken:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
            files = [(Path(self.out.name) / str(number)).read_bytes() for number in range(len(wanted))]
            return Taken(answer["cpu"], answer["wall"], files)

        return run

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.out.cleanup()


class Thumbor:
    """A Thumbor server on the loopback that reads from a folder and keeps nothing."""

    def __init__(self, program: str, detectors: Sequence[str] = ()) -> None:
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        (root / "thumbor.conf").write_text(
            f"LOADER = 'thumbor.loaders.file_loader'\nFILE_LOADER_ROOT_PATH = {str(root)!r}\n"
            "STORAGE = 'thumbor.storages.no_storage'\nRESULT_STORAGE = None\nMAX_AGE = 0\n"
            f"DETECTORS = {[f'thumbor.detectors.{name}_detector' for name in detectors]!r}\n"
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [program, "-i", "127.0.0.1", "-p", str(self.port), "-c", str(root / "thumbor.conf"), "-l", "error"]
        )
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthcheck").read()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("Thumbor doesn't start")

    def way(self, source: bytes, wanted: Sequence[Wanted], format: str) -> Way:
        """One request for every file; CPU is that of the server."""
        name = f"source-{len(source)}"
        (Path(self.folder.name) / name).write_bytes(source)

        def address(each: Wanted) -> str:
            cut = "{}x{}:{}x{}/".format(*each.pixels) if each.pixels else ""
            filters = f"filters:format({format}):quality({each.quality})"
            return f"http://127.0.0.1:{self.port}/unsafe/{cut}{each.width}x{each.height}/{filters}/{name}"

        addresses = [address(each) for each in wanted]

        def run() -> Taken:
            began, spent = time.perf_counter(), self.used()
            files = [urllib.request.urlopen(address).read() for address in addresses]
            return Taken((self.used() - spent) * 1000, (time.perf_counter() - began) * 1000, files)

        return run

    def cut(self, source: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of its smart crop; None where it crops nothing away."""
        (Path(self.folder.name) / "cut").write_bytes(source)
        address = f"http://127.0.0.1:{self.port}/unsafe/meta/{size[0]}x{size[1]}/smart/cut"
        with urllib.request.urlopen(address) as answer:
            done = json.load(answer)["thumbor"]["operations"]
        for step in done:
            if step["type"] == "crop":
                return step["left"], step["top"], step["right"], step["bottom"]
        return None

    def used(self) -> float:
        """CPU seconds of the server so far."""
        numbers = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Ends the server."""
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def measure(ways: dict[str, Way], runs: int) -> dict[str, Taken]:
    """Each way's medians of interleaved runs (A B C A B C ...), after one that doesn't count, and its last files."""
    taken: dict[str, list[Taken]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            found = way()
            if run:
                taken[name].append(found)
    return {
        name: Taken(
            statistics.median(each.cpu for each in found),
            statistics.median(each.wall for each in found),
            found[-1].files,
        )
        for name, found in taken.items()
    }


def references(image: Image.Image, sizes: Sizes) -> list[np.ndarray]:
    """`image` at each size by Lanczos in floating point; luma, `(H, W)`."""
    bands = [np.asarray(band, np.float32) for band in image.split()]
    return [
        luma(
            np.stack([np.asarray(Image.fromarray(band, "F").resize(size, LANCZOS)) for band in bands], -1).clip(0, 255)
        )
        for size in sizes
    ]


def luma(pixels: np.ndarray) -> np.ndarray:
    """Brightness of `(H, W, 3)`."""
    return np.asarray(pixels, np.float64) @ np.array([0.299, 0.587, 0.114])


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity (Wang et al., 2004) over windows of 8 x 8 pixels, every fourth."""

    def means(plane: np.ndarray) -> np.ndarray:
        height, width = plane.shape[0] // 4, plane.shape[1] // 4
        blocks = plane[: height * 4, : width * 4].reshape(height, 4, width, 4).sum((1, 3))
        return (blocks[:-1, :-1] + blocks[1:, :-1] + blocks[:-1, 1:] + blocks[1:, 1:]) / 64

    mean, other = means(first), means(second)
    spread = means(first * first) - mean * mean
    others = means(second * second) - other * other
    shared = means(first * second) - mean * other
    light = (2 * mean * other + 6.5025) / (mean * mean + other * other + 6.5025)
    return float((light * (2 * shared + 58.5225) / (spread + others + 58.5225)).mean())


def likeness(files: Files, wanted: list[np.ndarray]) -> float:
    """Mean SSIM of decoded files against their references."""
    opened = [luma(np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))) for file in files]
    return statistics.mean(ssim(one, other) for one, other in zip(opened, wanted, strict=True))
