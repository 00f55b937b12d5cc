"""Is there a setting of libwebp, or another encoder, that gives the same bytes and likeness in less CPU than method 4?

Every setting encodes every picture at quality 82; method 4 also at six more, so that each result can be compared with method 4 at the same
SSIM and at the same SSIMULACRA 2. Settings that Pillow doesn't know are set through libwebp's own interface, by the library that Pillow's wheel carries.
A lossy WebP is a key frame of VP8, so libvpx makes them too: where PyAV is installed (`pip install av`), its rows come last.
`python bench/webp_settings.py` writes bench/results/webp_settings.{json,md}; photographs as for bench/focal.py, reduced to 1024 px, of which the middle
640 px; and every third drawing of the embedded model, three times as large.
"""

from __future__ import annotations

import ctypes as c
import importlib.util
import io
import math
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from statistics import mean

import numpy as np
import PIL
from PIL import Image

from drawings import drawings
from imajin_servers.processing.ssimulacra import Original
from peers import LANCZOS, luma, ssim
from photographs import photographs
from results import Cell, write

ABI = 0x0210
QUALITIES = (65, 72, 78, 82, 86, 90, 94)
MIDDLE = 640
Settings = dict[str, int]
SETTINGS: dict[str, Settings] = {
    "method 4": {},
    "method 0": {"method": 0},
    "method 1": {"method": 1},
    "method 2": {"method": 2},
    "method 2, sns 80": {"method": 2, "sns_strength": 80},
    "method 2, 2 segments, filter 80": {"method": 2, "segments": 2, "filter_strength": 80},
    "method 2, 3 passes": {"method": 2, "pass_": 3},
    "method 3": {"method": 3},
    "method 3, 2 segments": {"method": 3, "segments": 2},
    "1 segment": {"segments": 1},
    "1 segment, no sns": {"segments": 1, "sns_strength": 0},
    "2 segments": {"segments": 2},
    "no sns": {"sns_strength": 0},
    "sns 80": {"sns_strength": 80},
    "filter 20": {"filter_strength": 20},
    "filter 80": {"filter_strength": 80},
    "simple filter": {"filter_type": 0},
    "partition limit 60": {"partition_limit": 60},
    "partition limit 85": {"partition_limit": 85},
    "partition limit 100": {"partition_limit": 100},
    "segments smoothed": {"preprocessing": 1},
    "method 5": {"method": 5},
}
LIBVPX: dict[str, Settings] = {
    "libvpx, cpu-used 0": {"cpu-used": 0},
    "libvpx, cpu-used 0, tuned for SSIM": {"cpu-used": 0, "tune": 1},
    "libvpx, cpu-used 3": {"cpu-used": 3},
    "libvpx, cpu-used 3, tuned for SSIM": {"cpu-used": 3, "tune": 1},
    "libvpx, cpu-used 4": {"cpu-used": 4},
}
LIBVPX_QUANTIZER = 10
"""Of 63; between libwebp's quality 82 and 86."""

FIELDS = [
    "lossless",
    "quality",
    "method",
    "image_hint",
    "target_size",
    "target_PSNR",
    "segments",
    "sns_strength",
    "filter_strength",
    "filter_sharpness",
    "filter_type",
    "autofilter",
    "alpha_compression",
    "alpha_filtering",
    "alpha_quality",
    "pass_",
    "show_compressed",
    "preprocessing",
    "partitions",
    "partition_limit",
    "emulate_jpeg_size",
    "thread_level",
    "low_memory",
    "near_lossless",
    "exact",
    "use_delta_palette",
    "use_sharp_yuv",
    "qmin",
    "qmax",
]


class Config(c.Structure):
    """WebPConfig of webp/encode.h."""

    _fields_ = [(name, c.c_float if name in ("quality", "target_PSNR") else c.c_int) for name in FIELDS]


class Picture(c.Structure):
    """WebPPicture of webp/encode.h."""

    _fields_ = [
        *((name, c.c_int) for name in ("use_argb", "colorspace", "width", "height")),
        *((name, c.c_void_p) for name in "yuv"),
        *((name, c.c_int) for name in ("y_stride", "uv_stride")),
        ("a", c.c_void_p),
        ("a_stride", c.c_int),
        ("pad1", c.c_uint32 * 2),
        ("argb", c.c_void_p),
        ("argb_stride", c.c_int),
        ("pad2", c.c_uint32 * 3),
        ("writer", c.c_void_p),
        ("custom", c.c_void_p),
        ("extra_type", c.c_int),
        *((name, c.c_void_p) for name in ("extra", "stats")),
        ("error", c.c_int),
        *((name, c.c_void_p) for name in ("hook", "user")),
        ("pad3", c.c_uint32 * 3),
        *((name, c.c_void_p) for name in ("pad4", "pad5")),
        ("pad6", c.c_uint32 * 8),
        *((name, c.c_void_p) for name in ("memory", "memory_argb")),
        ("pad7", c.c_void_p * 2),
    ]


class Written(c.Structure):
    """WebPMemoryWriter of webp/encode.h."""

    _fields_ = [("mem", c.c_void_p), ("size", c.c_size_t), ("max", c.c_size_t), ("pad", c.c_uint32)]


class Encoder:
    """libwebp as Pillow's wheel carries it."""

    def __init__(self) -> None:
        libs = Path(PIL.__file__).parent.parent / "pillow.libs"
        c.CDLL(str(next(libs.glob("libsharpyuv-*"))), mode=c.RTLD_GLOBAL)
        self.lib = c.CDLL(str(next(libs.glob("libwebp-*"))))
        self.lib.WebPConfigInitInternal.argtypes = [c.c_void_p, c.c_int, c.c_float, c.c_int]
        self.lib.WebPPictureImportRGB.argtypes = [c.c_void_p, c.c_void_p, c.c_int]

    def encode(self, pixels: np.ndarray, quality: float, settings: Settings) -> bytes:
        """`(H, W, 3)` as a file."""
        config, picture, written = Config(), Picture(), Written()
        if not self.lib.WebPConfigInitInternal(c.byref(config), 0, quality, ABI):
            raise RuntimeError("this libwebp has another interface")
        for name, value in settings.items():
            setattr(config, name, value)
        self.lib.WebPPictureInitInternal(c.byref(picture), ABI)
        picture.height, picture.width = pixels.shape[:2]
        self.lib.WebPPictureImportRGB(c.byref(picture), pixels.ctypes.data, pixels.strides[0])
        self.lib.WebPMemoryWriterInit(c.byref(written))
        picture.writer = c.cast(self.lib.WebPMemoryWrite, c.c_void_p).value
        picture.custom = c.cast(c.byref(written), c.c_void_p).value
        done = self.lib.WebPEncode(c.byref(config), c.byref(picture))
        data = c.string_at(written.mem, written.size) if done else b""
        self.lib.WebPMemoryWriterClear(c.byref(written))
        self.lib.WebPPictureFree(c.byref(picture))
        if not done:
            raise RuntimeError(f"libwebp's error {picture.error} for {settings}")
        return data


class KeyFrames:
    """libvpx as PyAV's wheel carries it."""

    def encode(self, pixels: np.ndarray, quality: float, settings: Settings) -> bytes:
        """`(H, W, 3)` as a file, by the quantizer `quality` of 63."""
        import av

        height, width = pixels.shape[:2]
        context = av.CodecContext.create("libvpx", "w")
        context.width, context.height, context.pix_fmt, context.thread_count = width, height, "yuv420p", 1
        context.time_base, context.bit_rate = Fraction(1, 25), 100_000_000
        fixed = {"qmin": quality, "qmax": quality, "crf": quality, "deadline": "good", "lag-in-frames": 0}
        context.options = {name: str(value) for name, value in (fixed | settings).items()}
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        data = b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))
        chunk = b"VP8 " + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


@dataclass(frozen=True)
class Point:
    """A file: the logarithm of its bytes, its SSIM in decibels of 1 - SSIM, and its score of SSIMULACRA 2."""

    size: float
    ssim: float
    score: float


def made(
    encoder: Encoder | KeyFrames, images: Sequence[np.ndarray], quality: float, settings: Settings
) -> tuple[float, list[bytes]]:
    """CPU seconds of all images, and their files."""
    began = time.process_time()
    files = [encoder.encode(image, quality, settings) for image in images]
    return time.process_time() - began, files


def judged(images: Sequence[np.ndarray], originals: Sequence[Original], files: Sequence[bytes]) -> list[Point]:
    """Where each file came out."""
    points = []
    for image, original, data in zip(images, originals, files, strict=True):
        decoded = Image.open(io.BytesIO(data)).convert("RGB")
        alike = ssim(luma(np.asarray(decoded)), luma(image))
        points.append(Point(math.log(len(data)), -10 * math.log10(1 - alike), original.score(decoded)))
    return points


def compared(task: str, images: Sequence[np.ndarray]) -> list[list[Cell]]:
    """The table's rows of some pictures."""
    libwebp = Encoder()
    originals = [Original(Image.fromarray(image)) for image in images]
    base = [judged(images, originals, made(libwebp, images, quality, {})[1]) for quality in QUALITIES]
    ways: list[tuple[str, Encoder | KeyFrames, float, Settings]] = [
        (name, libwebp, 82, settings) for name, settings in SETTINGS.items()
    ]
    if importlib.util.find_spec("av"):
        ways += [(name, KeyFrames(), LIBVPX_QUANTIZER, settings) for name, settings in LIBVPX.items()]
    rows: list[list[Cell]] = []
    for name, encoder, quality, settings in ways:
        # Each beside a run of method 4, so that a machine that slows down slows both.
        seconds = made(libwebp, images, 82, {})[0]
        spent, files = made(encoder, images, quality, settings)
        points = judged(images, originals, files)
        row: list[Cell] = [task, name, spent / seconds]
        for measure in (attrgetter("ssim"), attrgetter("score")):
            more = []
            for number, point in enumerate(points):
                curve = [points[number] for points in base]
                same = np.interp(measure(point), [measure(other) for other in curve], [other.size for other in curve])
                more.append(point.size - float(same))
            row += [percent(mean(more)), percent(max(more))]
        rows.append(row)
    return rows


def percent(more: float) -> str:
    """A difference of logarithms, as percent."""
    return f"{100 * math.expm1(more):+.1f}"


def middle(image: Image.Image) -> np.ndarray:
    """The middle of an image, `(H, W, 3)`, at most `MIDDLE` pixels a side."""
    left, top = max(0, (image.width - MIDDLE) // 2), max(0, (image.height - MIDDLE) // 2)
    cut = image.crop((left, top, min(image.width, left + MIDDLE), min(image.height, top + MIDDLE)))
    return np.ascontiguousarray(cut)


def main() -> None:
    """Runs everything and writes the table."""
    real = [photo.pixels.copy() for photo in photographs() if min(photo.pixels.size) >= 250]
    for image in real:
        image.thumbnail((1024, 1024), LANCZOS)
    drawn = [drawing.picture.pixels for drawing in drawings()[::3]]
    larger = [image.resize((image.width * 3, image.height * 3), LANCZOS) for image in drawn]
    rows = compared(f"{len(real)} photographs", [middle(image) for image in real])
    rows += compared(f"{len(drawn)} drawings", [middle(image) for image in larger])
    note = (
        "`CPU` is to method 4 at quality 82. `SSIM` and `SSIMULACRA 2`: how many more bytes a setting takes than method 4 for what it reaches of each, in the "
        "geometric mean and for the worst picture."
    )
    columns = ["pictures", "setting", "CPU", "SSIM, %", "worst, %", "SSIMULACRA 2, %", "worst, %"]
    write("webp_settings", "Encoders of WebP against method 4 of libwebp", columns, rows, note)


if __name__ == "__main__":
    main()
