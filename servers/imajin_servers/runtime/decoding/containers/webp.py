"""WebP, by its RIFF chunks. https://developers.google.com/speed/webp/docs/riff_container"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imajin_servers.runtime.decoding.containers import orientation
from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS, Header, Stripped
from imajin_servers.runtime.errors import ImageInvalid

XMP_FLAG, EXIF_FLAG = 0x04, 0x08
KEPT = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
NAMES = {b"EXIF": "exif", b"XMP ": "xmp", b"C2PA": "c2pa"}


def recognises(data: bytes) -> bool:
    """Whether `data` begins like a WebP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end (of the payload) of every chunk. Raises ImageInvalid where the file is cut short."""
    limit = riff_end(data)
    position = 12
    for _ in range(MAX_BLOCKS):
        if position >= limit:
            return
        if position + 8 > limit:
            raise ImageInvalid("the WebP is cut short")
        (length,) = struct.unpack_from("<I", data, position + 4)
        end = position + 8 + length
        if end > limit:
            raise ImageInvalid("the WebP is cut short")
        yield data[position : position + 4], position + 8, end
        position = end + (length & 1)
    raise ImageInvalid(f"the WebP has more than {MAX_BLOCKS} chunks")


def riff_end(data: bytes) -> int:
    """Where the RIFF says that it ends, at most the file's length."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise ImageInvalid("the WebP is cut short")
    return int(length + 8)


def inspect(data: bytes) -> Header:
    """Reads what the file says about its image."""
    canvas: tuple[int, int] | None = None
    still: tuple[int, int] | None = None
    frames, turned, icc = 0, 1, False
    for kind, start, end in chunks(data):
        if kind == b"VP8X" and end - start >= 10 and canvas is None:
            width, height = data[start + 4 : start + 7], data[start + 7 : start + 10]
            canvas = int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
        elif kind in (b"VP8 ", b"VP8L") and still is None:
            still = bitstream_size(kind, data[start : min(end, start + 10)])
        elif kind == b"ANMF":
            frames += 1
        elif kind == b"EXIF":
            turned = orientation.read(data[start:end])
        elif kind == b"ICCP":
            icc = True
    if still is None and not (canvas and frames):
        raise ImageInvalid("the WebP has no pixels")
    if still is not None and canvas is not None and still != canvas and not frames:
        raise ImageInvalid("the WebP's canvas and image differ in size")
    if canvas is None:
        # Readers look for EXIF only where VP8X announces it.
        turned = 1
    width_, height_ = canvas or still or (0, 0)
    if not (width_ and height_):
        raise ImageInvalid(f"the WebP says that it is {width_} x {height_} pixels")
    return Header("webp", width_, height_, max(1, frames), turned, icc)


def bitstream_size(kind: bytes, head: bytes) -> tuple[int, int]:
    """Width and height out of the first bytes of a VP8 (RFC 6386, 9.1) or VP8L bitstream."""
    if kind == b"VP8 ":
        if len(head) < 10 or head[3:6] != b"\x9d\x01\x2a":
            raise ImageInvalid("the WebP's image header is damaged")
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    if len(head) < 5 or head[0] != 0x2F:
        raise ImageInvalid("the WebP's image header is damaged")
    bits = int.from_bytes(head[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def strip(data: bytes) -> Stripped:
    """Copies the chunks that make pixels and colour; a turn that EXIF asks for is kept in an EXIF block of its own."""
    removed: set[str] = set()
    pieces: list[bytes | bytearray | memoryview] = []
    view = memoryview(data)
    turned = 1
    extended: bytearray | None = None
    for kind, start, end in chunks(data):
        if kind == b"VP8X" and end - start >= 10:
            extended = bytearray(data[start:end])
            pieces += [view[start - 8 : start], extended, padding(start, end)]
        elif kind in KEPT:
            pieces += [view[start - 8 : end], padding(start, end)]
        else:
            if kind == b"EXIF":
                turned = orientation.read(data[start:end])
            removed.add(NAMES.get(kind, "other"))
    if riff_end(data) < len(data):
        removed.add("trailing-data")
    if extended is not None:
        extended[0] &= ~(EXIF_FLAG | XMP_FLAG)
        if turned != 1:
            extended[0] |= EXIF_FLAG
            block = orientation.write(turned)
            pieces += [b"EXIF", struct.pack("<I", len(block)), block]
    length = 4 + sum(map(len, pieces))
    return Stripped(b"".join([b"RIFF", struct.pack("<I", length), b"WEBP", *pieces]), tuple(sorted(removed)))


def padding(start: int, end: int) -> bytes:
    """What makes the length of a payload even."""
    return b"\x00" * (end - start & 1)
