"""Derivatives, the default pipeline and focal crops of one 1536x1024 picture, side by side with Pillow and libvips.

Every way starts from the same PNG in memory and ends with encoded files in memory, in turn (A B C A B C ...), medians. `floor` is
the encoding alone, of pixels that lie ready at their sizes: no way that uses the same encoder can be faster.
`python bench/processing.py` writes bench/results/processing.{json,md}; libvips takes part where pyvips is installed.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import resource
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import numpy as np
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.processing.__main__ import build
from imajin_servers.processing.crop import plan
from imajin_servers.processing.decode import decode, inspect, inspect_raw
from imajin_servers.processing.encode import Recipe
from imajin_servers.processing.pipeline import Cropped, Output, Resized, Work, make
from imajin_servers.processing.settings import Encoders, Limits, ProcessingSettings
from imajin_servers.processing.work import Workshop
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.images import chunks
from imajin_servers.runtime.server import OPTIONS, Lifetime
from results import Cell, write

WIDTH, HEIGHT = 1536, 1024
WIDTHS = (320, 640, 1024, 1536)
CROPS = ((1200, 630), (300, 600), (1080, 1080))
RUNS = int(os.environ.get("IMAJIN_BENCH_RUNS", "9"))
LANCZOS = Image.Resampling.LANCZOS
Files = list[bytes]
Way = Callable[[], Files]


def picture() -> Image.Image:
    """Noise whose power falls with frequency as that of photographs does (1/f), with colours that go together."""
    rng = np.random.default_rng(0)
    fy, fx = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None, :]
    fall = 1 / np.maximum(np.hypot(fx, fy), 1 / WIDTH) ** 1.3
    layers = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(fall.shape))
        layer = np.fft.irfft2(fall * phases, (HEIGHT, WIDTH))
        layers.append(layer / layer.std())
    light, warm, green = layers
    pixels = np.stack([light + 0.4 * warm, light + 0.2 * green, light - 0.4 * warm], -1)
    return Image.fromarray((pixels * 45 + 128).clip(0, 255).astype(np.uint8))


def png_of(image: Image.Image) -> bytes:
    """`image` as a PNG."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()


def saved(image: Image.Image, format: str) -> bytes:
    """`image` encoded as the server encodes by default."""
    out = io.BytesIO()
    more: dict[str, Any] = {"method": 4} if format == "WEBP" else {"progressive": True, "optimize": True}
    image.save(out, format, quality=82, **more)
    return out.getvalue()


def heights(widths: Sequence[int]) -> list[tuple[int, int]]:
    """The sizes of derivatives."""
    return [(width, round(HEIGHT * width / WIDTH)) for width in widths]


async def made(data: bytes, works: Sequence[Work], workers: int) -> Files:
    """The server's own pipeline without the wire: inspect, strip, decode once, make in threads."""
    workshop = Workshop(workers, 4, 1 << 40)
    try:
        async with workshop.call() as bench:
            if data.startswith(b"\x89PNG"):
                source = await bench.run(inspect, data, Limits())
            else:
                source = await bench.run(inspect_raw, data, WIDTH, HEIGHT, Limits())
            image = await bench.run(decode, source)
            outputs = [Output(number, str(number), work) for number, work in enumerate(works)]
            return [item.file.data async for item in make(outputs, image, Encoders(), bench)]
    finally:
        workshop.close()


def ours(data: bytes, works: Sequence[Work], workers: int = 1) -> Files:
    """`made`, for timing."""
    return asyncio.run(made(data, works, workers))


def floor(images: Sequence[Image.Image], format: str) -> Files:
    """Encoding alone."""
    return [saved(image, format) for image in images]


def pillow_each(png: bytes, sizes: Sequence[tuple[int, int]], format: str) -> Files:
    """Pillow, opening the PNG for every size."""
    return [saved(Image.open(io.BytesIO(png)).convert("RGB").resize(size, LANCZOS), format) for size in sizes]


def pillow_once(png: bytes, sizes: Sequence[tuple[int, int]], format: str) -> Files:
    """Pillow, opening the PNG once."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return [saved(image.resize(size, LANCZOS), format) for size in sizes]


def pillow_crops(png: bytes, cuts: Sequence[tuple[tuple[float, float, float, float], tuple[int, int]]]) -> Files:
    """Pillow, opening the PNG for every crop."""
    return [
        saved(Image.open(io.BytesIO(png)).convert("RGB").resize(size, LANCZOS, box=box), "WEBP") for box, size in cuts
    ]


def vips_each(png: bytes, sizes: Sequence[tuple[int, int]], suffix: str, **options: Any) -> Files:
    """Fused decode and shrink of libvips, for every size."""
    import pyvips

    return [
        pyvips.Image.thumbnail_buffer(png, width, height=height).write_to_buffer(suffix, Q=82, **options)
        for width, height in sizes
    ]


def has_vips() -> bool:
    """Whether pyvips can be used here."""
    try:
        import pyvips
    except (ImportError, OSError):
        return False
    pyvips.cache_set_max(0)
    return True


def used() -> float:
    """CPU seconds of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(ways: dict[str, Way]) -> dict[str, tuple[float, float, int]]:
    """CPU and wall milliseconds and bytes of each way, medians of interleaved runs."""
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    size: dict[str, int] = {}
    for run in range(RUNS + 1):
        for name, way in ways.items():
            began, spent = time.perf_counter(), used()
            files = way()
            if run:
                wall[name].append((time.perf_counter() - began) * 1000)
                cpu[name].append((used() - spent) * 1000)
            size[name] = sum(map(len, files))
    return {name: (statistics.median(cpu[name]), statistics.median(wall[name]), size[name]) for name in ways}


def rows(task: str, ways: dict[str, Way], base: str) -> list[list[Cell]]:
    """The table's rows of one task; ratios are to the CPU time of `base`."""
    found = measure(ways)
    return [[task, name, cpu, wall, cpu / found[base][0], size] for name, (cpu, wall, size) in found.items()]


async def sent(spec: pb.ProcessSpec, data: bytes) -> AsyncIterator[pb.ProcessRequest]:
    """A call's messages."""
    yield pb.ProcessRequest(spec=spec)
    for chunk in chunks(data, image_pb2.IMAGE_FORMAT_PNG, WIDTH, HEIGHT):
        yield pb.ProcessRequest(chunk=chunk)


async def worst_stall(png: bytes, calls: int) -> tuple[float, float]:
    """The longest time, in ms, for which the server's event loop did not turn under `calls` default pipelines; and their wall time.

    Client and server share the loop here, so the client's work is in it too.
    """
    settings = ProcessingSettings()
    server = grpc.aio.server(options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    gaps: list[float] = []

    async def watch() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - last - 0.001)
            last = time.perf_counter()

    async def one(stub: pb_grpc.ProcessingServiceStub) -> None:
        async for _ in stub.Process(sent(pb.ProcessSpec(), png)):
            pass

    async with build(settings, Lifetime()) as services, connect(f"127.0.0.1:{port}") as channel:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        stub = pb_grpc.ProcessingServiceStub(channel)
        await one(stub)
        watcher = asyncio.create_task(watch())
        began = time.perf_counter()
        await asyncio.gather(*(one(stub) for _ in range(calls)))
        wall = time.perf_counter() - began
        watcher.cancel()
        await server.stop(0)
    return max(gaps) * 1000, wall * 1000


def refusal(png: bytes) -> float:
    """Microseconds to refuse a PNG whose header says 100000 x 100000."""
    import struct
    import zlib

    from imajin_servers.runtime.errors import ImageTooLarge

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


def main() -> None:
    """Runs everything and writes the table."""
    image = picture()
    png = png_of(image)
    bare = image.tobytes()
    sizes = heights(WIDTHS)
    ready = [image.resize(size, LANCZOS) for size in sizes]
    table: list[list[Cell]] = []
    load = os.getloadavg()[0]
    for name, encoding, suffix, more in (
        ("WEBP", "webp", ".webp", {"effort": 4}),
        ("JPEG", "jpeg", ".jpg", {"interlace": True, "optimize_coding": True}),
    ):
        works = [Resized(width, height, Recipe(encoding, 82)) for width, height in sizes]  # type: ignore[arg-type]
        ways: dict[str, Way] = {
            "imajin": functools.partial(ours, png, works),
            "imajin, from bare pixels": functools.partial(ours, bare, works),
            "floor": functools.partial(floor, ready, name),
            "Pillow, PNG opened per width": functools.partial(pillow_each, png, sizes, name),
            "Pillow, PNG opened once": functools.partial(pillow_once, png, sizes, name),
        }
        if has_vips():
            ways["pyvips, thumbnail per width"] = functools.partial(vips_each, png, sizes, suffix, **more)
        if os.cpu_count() != 1:
            ways["imajin, two threads"] = functools.partial(ours, png, works, 2)
        table += rows(f"four {name} derivatives", ways, "floor")
    cuts = [plan((WIDTH, HEIGHT), size, (WIDTH * 0.4, HEIGHT * 0.4)) for size in CROPS]
    boxes = [
        ((cut.box.left, cut.box.top, cut.box.right, cut.box.bottom), size)
        for cut, size in zip(cuts, CROPS, strict=True)
    ]
    ready = [image.resize(size, LANCZOS, box=box) for box, size in boxes]
    crops = [Cropped(cut, *size, Recipe("webp", 82)) for cut, size in zip(cuts, CROPS, strict=True)]
    ways = {
        "imajin": functools.partial(ours, png, crops),
        "floor": functools.partial(floor, ready, "WEBP"),
        "Pillow, PNG opened per crop": functools.partial(pillow_crops, png, boxes),
    }
    table += rows("three focal crops", ways, "floor")
    whole = [Resized(WIDTH, HEIGHT, Recipe("webp", quality)) for quality in (82, 90)]
    smaller = [Resized(width, height, Recipe("webp", 82)) for width, height in sizes]
    default = [*whole, *smaller]
    ready = [image.resize(size, LANCZOS) for size in sizes[:-1]]

    def default_floor() -> Files:
        out = io.BytesIO()
        image.save(out, "WEBP", quality=90, method=4)
        return [saved(image, "WEBP"), out.getvalue(), *floor(ready, "WEBP")]

    def default_pillow() -> Files:
        opened = Image.open(io.BytesIO(png)).convert("RGB")
        out = io.BytesIO()
        opened.save(out, "WEBP", quality=90, method=4)
        return [saved(opened, "WEBP"), out.getvalue(), *pillow_each(png, sizes, "WEBP")]

    ways = {
        "imajin": functools.partial(ours, png, default),
        "floor": default_floor,
        "Pillow, PNG opened per file": default_pillow,
    }
    table += rows("default pipeline", ways, "floor")
    stall, wall = asyncio.run(worst_stall(png, 8))
    note = (
        f"8 default pipelines at once through the server took {wall:.0f} ms on its threads; the event loop, which the client shares "
        f"here, never stood still for more than {stall:.0f} ms. A 100000 x 100000 header is refused in {refusal(png):.0f} us. "
        f"The machine's load average was {load:.1f} before the run: above 0, wall times and the event loop's are of the load, CPU times little. "
        "The 1536 px derivative and optimize are the same bytes: the default pipeline encodes them once."
    )
    write(
        "processing",
        f"One {WIDTH}x{HEIGHT} picture, medians of {RUNS} interleaved runs",
        ["task", "way", "CPU ms", "wall ms", "CPU to floor", "bytes"],
        table,
        note,
    )


if __name__ == "__main__":
    main()
