"""From an uploaded file to upright sRGB pixels, refused by what the file says about itself before a decoder sees it.

For servers that need pixels and nothing else of a file; the processing server reads files block by block, because it
gives them back.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps

from imajin.common.v1 import image_pb2
from imajin_servers.runtime import images
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

# Our own limits are held before Pillow decodes; its own would only warn.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False

SRGB = ImageCms.createProfile("sRGB")


@dataclass(frozen=True)
class Limits:
    """What is refused before anything is decoded."""

    pixels: int
    """Width times height."""
    side: int = 16_383
    """Width or height."""

    def check(self, width: int, height: int) -> None:
        """Raises ImageTooLarge above a limit."""
        if width * height > self.pixels:
            raise ImageTooLarge.over("pixels", self.pixels, width * height)
        if max(width, height) > self.side:
            raise ImageTooLarge.over("pixels a side", self.side, max(width, height))


def picture(upload: images.Image, limits: Limits) -> Image.Image:
    """The image in `upload`, upright RGB; what is see-through lies on white.

    Raises ImageInvalid for what is no PNG, JPEG, WebP or AVIF or is damaged, and ImageTooLarge above a limit or for an
    animation. Blocking.
    """
    if upload.info.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
        return bare(upload.data, upload.info.width, upload.info.height, limits)
    return flattened(decoded(upload.data, limits))


def bare(data: bytes, width: int, height: int, limits: Limits) -> Image.Image:
    """Bare RGB pixels, 3 bytes each. Raises ImageInvalid when there are not width * height of them."""
    limits.check(width, height)
    if not (width and height) or len(data) != width * height * 3:
        raise ImageInvalid(f"{len(data)} bytes are not {width} x {height} pixels of 3 bytes")
    return Image.frombytes("RGB", (width, height), data)


def decoded(data: bytes, limits: Limits) -> Image.Image:
    """The only frame of an encoded file, upright, in the mode and the colours of its own."""
    kind = sniffed(data)
    if kind == "WEBP":
        # Pillow makes room for the whole canvas when it opens one.
        limits.check(*webp_size(data))
    try:
        image = Image.open(io.BytesIO(data), formats=[kind])
        limits.check(*image.size)
        frames = getattr(image, "n_frames", 1)
        # A phone's JPEG may carry more than one; the first is the photograph.
        if frames > 1 and kind != "JPEG":
            raise ImageTooLarge.over("frames", 1, frames)
        image.load()
        return in_srgb(upright(image))
    except (ImageInvalid, ImageTooLarge, MemoryError):
        raise
    except Exception as error:
        # Decoders raise anything on damaged files: OSError, SyntaxError, ValueError, struct.error, EOFError, ...
        raise ImageInvalid(f"the image can't be decoded: {error}") from error


def sniffed(data: bytes) -> str:
    """Pillow's name of the format, by the first bytes. Raises ImageInvalid for others than the four."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and any(brand in data[8:64] for brand in (b"avif", b"avis", b"mif1")):
        return "AVIF"
    raise ImageInvalid("the image is none that is taken; send PNG, JPEG, WebP or AVIF")


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels that a WebP file states (RFC 9649). Raises ImageInvalid where it states none."""
    kind, body = data[12:16], data[20:30]
    if len(body) == 10:
        if kind == b"VP8X":
            return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
        if kind == b"VP8L":
            (bits,) = struct.unpack("<I", body[1:5])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        if kind == b"VP8 ":
            width, height = struct.unpack("<HH", body[6:10])
            return width & 0x3FFF, height & 0x3FFF
    raise ImageInvalid("the WebP file has no picture in it")


def upright(image: Image.Image) -> Image.Image:
    """`image` turned as its EXIF says; a damaged block says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Its reader raises anything: struct.error, SyntaxError, KeyError, ...
        return image


def in_srgb(image: Image.Image) -> Image.Image:
    """`image` through its colour profile; a profile that is broken or of other colours is ignored, as browsers do."""
    profile = image.info.get("icc_profile")
    if image.mode == "RGB" and profile:
        try:
            converted = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), SRGB)
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image
        return converted or image
    return image


def flattened(image: Image.Image) -> Image.Image:
    """RGB, whatever mode came in; what is see-through lies on white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32).clip(0, 65535) >> 8).astype(np.uint8)).convert(
            "RGB"
        )
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        ground = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(ground, clear).convert("RGB")
    return image.convert("RGB")
