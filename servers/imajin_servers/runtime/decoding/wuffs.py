"""Pixels of PNG files by Wuffs, whose decoders are proven to stay within their memory: half of Pillow's time.

https://github.com/google/wuffs; Pillow's wheels take the zlib of the host and undo filters a byte at a time.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Any

from PIL import Image

from imajin_servers.runtime.decoding.containers import png

pywuffs: Any
try:
    pywuffs = importlib.import_module("pywuffs")
except ImportError:  # no wheel for this platform: Pillow decodes
    pywuffs = None

MODES = {"RGB": "BGR", "RGBA": "BGRA"}
"""The modes that are decoded here, and how Wuffs lays out their bytes."""


def pixels(data: bytes, opened: Image.Image) -> Image.Image | None:
    """The pixels of the PNG in `data`, which Pillow has opened but not loaded.

    None when that is better left to Pillow: no Wuffs here, not 8 bits of plain colour, or anything wrong with the file.
    """
    layout = MODES.get(opened.mode)
    if pywuffs is None or layout is None or data[24] != 8 or "transparency" in opened.info or not intact(data):
        return None
    decoded = pywuffs.aux.ImageDecoder(config(layout, max(opened.size))).decode(data)
    if decoded.error_message or decoded.pixbuf.shape != (opened.height, opened.width, len(layout)):
        return None
    return Image.frombuffer(opened.mode, opened.size, decoded.pixbuf, "raw", layout, 0, 1)


def config(layout: str, side: int) -> Any:
    """What to decode, into what."""
    wanted = pywuffs.aux.ImageDecoderConfig()
    wanted.enabled_decoders = [pywuffs.ImageDecoderType.PNG]
    wanted.pixel_format = pywuffs.PixelFormat.BGR if layout == "BGR" else pywuffs.PixelFormat.BGRA_NONPREMUL
    wanted.max_incl_dimension = side
    return wanted


def intact(data: bytes) -> bool:
    """Whether the checksums of the chunks that hold pixels are right: Wuffs' PNG decoder doesn't look at them."""
    view = memoryview(data)
    return all(
        zlib.crc32(view[start - 4 : end]) == int.from_bytes(view[end : end + 4], "big")
        for kind, start, end in png.chunks(data)
        if kind == b"IDAT"
    )
