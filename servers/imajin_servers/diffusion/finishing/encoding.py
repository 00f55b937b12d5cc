"""Pixels to bytes."""

from __future__ import annotations

from enum import Enum
from io import BytesIO
from typing import Any

from PIL import Image


class Format(Enum):
    """Encodings, with what Pillow's encoder of each is told."""

    # Level 3 costs a third of level 6 and a few percent of size.
    PNG = ("PNG", {"compress_level": 3})
    JPEG = ("JPEG", {"quality": 92, "subsampling": 0})
    WEBP = ("WEBP", {"quality": 90, "method": 4})
    AVIF = ("AVIF", {"quality": 80, "speed": 8, "max_threads": 1})
    RAW_RGB8 = ("", None)


def encode(image: Image.Image, format: Format) -> bytes:
    """`image` (RGB) in `format`."""
    if format is Format.RAW_RGB8:
        return image.tobytes()
    name, options = format.value
    keywords: dict[str, Any] = dict(options or {})
    buffer = BytesIO()
    image.save(buffer, name, **keywords)
    return buffer.getvalue()
