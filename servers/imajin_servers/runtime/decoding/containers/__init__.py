"""File formats at the level of their blocks: what a file says about itself, and the file without its metadata.

Nothing here decodes a pixel, so limits can be held before any decoder sees the file, and no decoder sees metadata.
"""

from __future__ import annotations

from collections.abc import Collection

from imajin_servers.runtime.decoding.containers import avif, gif, jpeg, png, webp
from imajin_servers.runtime.decoding.containers.header import Container, FileFormat, Header, Stripped
from imajin_servers.runtime.errors import ImageInvalid

__all__ = ["TAKEN", "Container", "FileFormat", "Header", "Stripped", "sniff"]

CONTAINERS: dict[FileFormat, Container] = {"png": png, "jpeg": jpeg, "webp": webp, "avif": avif, "gif": gif}
NAMES: dict[FileFormat, str] = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "avif": "AVIF", "gif": "GIF"}
TAKEN: tuple[FileFormat, ...] = tuple(CONTAINERS)
"""The formats that are read; a caller may take fewer."""
REFUSED = {
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "BigTIFF",
    b"%PDF": "PDF",
    b"BM": "BMP",
    b"8BPS": "PSD",
    b"PK\x03\x04": "ZIP",
    b"\x00\x00\x01\x00": "ICO",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"%!PS": "PostScript",
}
BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"mif1": "HEIF",
    b"isom": "MP4",
    b"mp42": "MP4",
    b"qt  ": "QuickTime",
}
"""What a file of boxes is, by its first brand."""


def sniff(data: bytes, taken: Collection[FileFormat] = TAKEN) -> Container:
    """The format of `data` by its first bytes. Raises ImageInvalid for what is none of those that are `taken`."""
    if not data:
        raise ImageInvalid("the image is empty", metadata={"detected": "nothing"})
    for name in taken:
        if CONTAINERS[name].recognises(data):
            return CONTAINERS[name]
    *most, last = (NAMES[name] for name in taken)
    raise ImageInvalid(
        f"{kind_of(data)} is not taken; send {', '.join(most)} or {last}", metadata={"detected": kind_of(data)}
    )


def kind_of(data: bytes) -> str:
    """What refused bytes look like, for the message."""
    for known, container in CONTAINERS.items():
        if container.recognises(data):
            return NAMES[known]
    for magic, name in REFUSED.items():
        if data.startswith(magic):
            return name
    if data[4:8] == b"ftyp" and data[8:12] in BRANDS:
        return BRANDS[data[8:12]]
    text = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) or b"<svg" in text:
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "this kind of file"
