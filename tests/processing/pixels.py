"""Small pictures and what comes of them."""

from __future__ import annotations

from PIL import Image, ImageCms

from imajin_servers.runtime.decoding.decode import decode, inspect
from imajin_servers.runtime.decoding.limits import Limits


def opened(data: bytes) -> Image.Image:
    return decode(inspect(data, Limits()))


def centre(picture: Image.Image) -> tuple[int, ...]:
    value = picture.getpixel((picture.width // 2, picture.height // 2))
    assert isinstance(value, tuple)
    return value


def near(colour: tuple[int, ...], wanted: tuple[int, ...], by: int = 4) -> bool:
    return max(abs(one - other) for one, other in zip(colour, wanted, strict=True)) <= by


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (40, 30), colour)  # type: ignore[arg-type]


def swapped_profile() -> bytes:
    """A profile whose red and green primaries are exchanged, so that ignoring it shows at once."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    for number in range(count):
        at = 132 + 12 * number
        if data[at : at + 4] == b"rXYZ":
            data[at : at + 4] = b"gXYZ"
        elif data[at : at + 4] == b"gXYZ":
            data[at : at + 4] = b"rXYZ"
        elif data[at : at + 4] == b"desc":
            start = int.from_bytes(data[at + 4 : at + 8], "big")
            size = int.from_bytes(data[at + 8 : at + 12], "big")
            data[start + 12 : start + size] = data[start + 12 : start + size].replace(b"s\0R\0G\0B", b"o\0d\0d\0!")
    return bytes(data)
