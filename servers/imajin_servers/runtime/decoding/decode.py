"""From a file to upright sRGB pixels."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile

from imajin.common.v1 import image_pb2
from imajin_servers.runtime import images
from imajin_servers.runtime.decoding import profiles, wuffs
from imajin_servers.runtime.decoding.containers import TAKEN, FileFormat, Header, sniff
from imajin_servers.runtime.decoding.containers.manifests import manifest_bytes
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

# Our own limits are held before Pillow sees a file; its own would only warn.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False

ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Source:
    """An image that came in: what its file said, the file without metadata, and what was removed. Not decoded yet."""

    header: Header
    clean: bytes
    removed: tuple[str, ...]
    size_bytes: int
    signed: bytes = b""
    """The file as it came, where it holds a C2PA manifest."""
    manifest_bytes: int = 0
    """Length of that manifest."""

    @property
    def decoded_bytes(self) -> int:
        """Memory that the decoded image takes: Pillow holds 4 bytes a pixel, and a turn or a conversion holds a copy."""
        return self.header.width * self.header.height * 8


def looked_at(upload: images.Image, bounds: Limits, taken: Collection[FileFormat] = TAKEN) -> Source:
    """What came in as `upload`, a file of one of the formats `taken` or bare pixels, checked without decoding it."""
    if upload.info.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
        return inspect_raw(upload.data, upload.info.width, upload.info.height, bounds)
    return inspect(upload.data, bounds, taken)


def inspect(data: bytes, bounds: Limits, taken: Collection[FileFormat] = TAKEN) -> Source:
    """Reads an encoded file at the level of its blocks and strips it.

    Raises ImageInvalid for what is no image of the formats `taken` and ImageTooLarge above a limit, both without decoding.
    """
    if len(data) > bounds.bytes:
        raise ImageTooLarge.over("bytes", bounds.bytes, len(data))
    container = sniff(data, taken)
    header = container.inspect(data)
    bounds.check(header)
    stripped = container.strip(data)
    manifest = manifest_bytes(data, header.format) if "c2pa" in stripped.removed else 0
    return Source(header, stripped.data, stripped.removed, len(data), data if manifest else b"", manifest)


def inspect_raw(data: bytes, width: int, height: int, bounds: Limits) -> Source:
    """Bare RGB pixels, 3 bytes each. Raises ImageInvalid when there are not width * height of them."""
    header = Header("raw", width, height)
    bounds.check(header)
    if not (width and height) or len(data) != width * height * 3:
        raise ImageInvalid(f"{len(data)} bytes are not {width} x {height} pixels of 3 bytes")
    return Source(header, data, (), len(data))


def decode(source: Source) -> Image.Image:
    """The first frame: upright, sRGB, mode RGB, or RGBA where a pixel may be transparent. Blocking.

    Raises ImageInvalid when the pixels are cut short or damaged.
    """
    header = source.header
    if header.format == "raw":
        return Image.frombytes("RGB", (header.width, header.height), source.clean)
    try:
        image: Image.Image = Image.open(io.BytesIO(source.clean), formats=[header.format.upper()])
        if image.size != (header.width, header.height) and image.size != header.upright:
            raise ImageInvalid("the image's pixels differ in size from what its file says")
        icc = image.info.get("icc_profile")
        if header.format == "png":
            image = wuffs.pixels(source.clean, image) or image
        image.load()
        # AVIF turns are boxes that Pillow reports as EXIF; for the rest our own reader has the turn.
        turn = image.getexif().get(ORIENTATION, 1) if header.format == "avif" else header.orientation
        upright = image.transpose(TURNS[turn]) if turn in TURNS else image
        if header.stated is None:
            return to_srgb(upright, icc)
        return profiles.applied(to_srgb(upright, None), profiles.made(header.stated))
    except (ImageInvalid, MemoryError):
        raise
    except Exception as error:
        # Decoders raise anything on damaged files: OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise ImageInvalid(f"the image can't be decoded: {error}") from error


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """RGB or RGBA in sRGB, whatever mode and colour profile came in."""
    if image.mode.startswith("I;16") or image.mode == "I":
        image = narrowed(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("LA", "La", "PA", "RGBa") or (image.mode in ("1", "L", "RGB") and "transparency" in image.info):
        image = image.convert("RGBA")
    if icc:
        image = profiles.applied(image, icc)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGB")
    # A fresh image knows nothing of its file: encoders would write profile and transparency out of `info` again.
    image.info = {}
    return image


def narrowed(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, rounded."""
    wide = np.asarray(image).astype(np.uint32).clip(0, 65535)
    return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8), "L")
