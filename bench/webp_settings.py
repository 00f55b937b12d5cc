"""Is there a setting of libwebp that gives the same bytes and likeness in less CPU than method 4?

Every setting encodes every picture at quality 82; method 4 also at four more, so that each result can be compared with method 4 at the same
SSIM. Settings that Pillow doesn't know are set through libwebp's own interface, by the library that Pillow's wheel carries.
`python bench/webp_settings.py` writes bench/results/webp_settings.{json,md}; photographs as for bench/focal.py, reduced to 1024 px, of which the middle
640 px; and every third drawing of the embedded model, three times as large.
"""

from __future__ import annotations

import ctypes as c
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import PIL
from PIL import Image

from drawings import drawings
from peers import LANCZOS, luma, ssim
from photographs import photographs
from results import Cell, write

ABI = 0x0210
QUALITIES = (70, 78, 82, 86, 92)
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


Points = list[tuple[float, float]]
"""Of each picture: logarithm of the bytes, and of how alike it is (decibels of 1 - SSIM)."""


def taken(encoder: Encoder, images: Sequence[np.ndarray], quality: float, settings: Settings) -> tuple[float, Points]:
    """CPU seconds of all images, and where each came out."""
    seconds, points = 0.0, []
    for image in images:
        began = time.process_time()
        data = encoder.encode(image, quality, settings)
        seconds += time.process_time() - began
        alike = ssim(luma(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))), luma(image))
        points.append((math.log(len(data)), -10 * math.log10(1 - alike)))
    return seconds, points


def compared(encoder: Encoder, task: str, images: Sequence[np.ndarray]) -> list[list[Cell]]:
    """The table's rows of some pictures."""
    base = {quality: taken(encoder, images, quality, {}) for quality in QUALITIES}
    rows: list[list[Cell]] = []
    for name, settings in SETTINGS.items():
        # Each beside a run of method 4, so that a machine that slows down slows both.
        seconds = taken(encoder, images, 82, {})[0]
        spent, points = taken(encoder, images, 82, settings)
        more = []
        for number, (size, alike) in enumerate(points):
            curve = [base[quality][1][number] for quality in QUALITIES]
            more.append(size - float(np.interp(alike, [point[1] for point in curve], [point[0] for point in curve])))
        raw = mean(size - other for (size, _), (other, _) in zip(points, base[82][1], strict=True))
        change = mean(alike - other for (_, alike), (_, other) in zip(points, base[82][1], strict=True))
        rows.append(
            [task, name, spent / seconds, percent(mean(more)), percent(max(more)), percent(raw), f"{change:+.2f}"]
        )
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
    encoder = Encoder()
    rows = compared(encoder, f"{len(real)} photographs", [middle(image) for image in real])
    rows += compared(encoder, f"{len(drawn)} drawings", [middle(image) for image in larger])
    note = (
        "`CPU` is to method 4 at quality 82. `at equal SSIM` is how many more bytes than method 4 a setting takes for the SSIM that it reaches, in the "
        "geometric mean and for the worst picture; `bytes` and `SSIM, dB` are the plain differences at quality 82."
    )
    columns = ["pictures", "setting", "CPU", "bytes at equal SSIM, %", "worst, %", "bytes, %", "SSIM, dB"]
    write("webp_settings", "Settings of libwebp against method 4", columns, rows, note)


if __name__ == "__main__":
    main()
