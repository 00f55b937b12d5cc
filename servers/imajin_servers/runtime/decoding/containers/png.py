"""PNG, by its chunks. https://www.w3.org/TR/png-3/"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

from imajin_servers.runtime.decoding.containers import orientation
from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS, Header, Stripped
from imajin_servers.runtime.decoding.containers.stated import SRGB, Colours, of_codes, of_gamma
from imajin_servers.runtime.errors import ImageInvalid

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEPT = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI"}
NAMES = {
    b"eXIf": "exif",
    b"tEXt": "text",
    b"zTXt": "text",
    b"iTXt": "text",
    b"tIME": "time",
    b"pHYs": "density",
    b"acTL": "animation",
    b"fcTL": "animation",
    b"fdAT": "animation",
    b"caBX": "c2pa",
}
COLOURS = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
LENGTHS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
"""Bytes of what states colours. A chunk of another length says nothing, and decoders would refuse all of the file for it."""
CHANNELS = {2: 3, 4: 2, 6: 4}
"""Numbers a pixel, by the header's kind of colour; 1 for the others."""
DENSEST = 1032
"""How often a byte of deflate can stand for another at most. https://zlib.net/zlib_tech.html"""
XMP = b"XML:com.adobe.xmp"


def recognises(data: bytes) -> bool:
    """Whether `data` begins like a PNG."""
    return data.startswith(SIGNATURE)


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end (of the payload) of every chunk up to IEND. Raises ImageInvalid where the file is cut short."""
    position = len(SIGNATURE)
    for _ in range(MAX_BLOCKS):
        if position + 12 > len(data):
            raise ImageInvalid("the PNG is cut short")
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            raise ImageInvalid("the PNG is cut short")
        yield kind, position + 8, end
        if kind == b"IEND":
            return
        position = end + 4
    raise ImageInvalid(f"the PNG has more than {MAX_BLOCKS} chunks")


def inspect(data: bytes) -> Header:
    """Reads what the file says about its image."""
    frames, turned, icc = 1, 1, False
    colours: dict[bytes, bytes] = {}
    width, height = dimensions(data)
    seen, packed = False, 0
    for kind, start, end in chunks(data):
        if kind == b"IDAT":
            seen, packed = True, packed + end - start
        elif kind == b"acTL" and end - start == 8:
            frames = max(1, int.from_bytes(data[start : start + 4], "big"))
        elif kind == b"eXIf":
            turned = orientation.read(data[start:end])
        elif kind == b"iCCP":
            icc = True
        if kind in COLOURS and sound(kind, end - start):
            colours.setdefault(kind, data[start : min(end, start + 32)])
    if not seen:
        raise ImageInvalid("the PNG has no pixels")
    raw = width * height * data[24] * CHANNELS.get(data[25], 1) // 8
    return Header("png", width, height, frames, turned, icc, stated(colours), packed, raw // DENSEST)


def stated(colours: Mapping[bytes, bytes]) -> Colours | None:
    """What the chunks of COLOURS say: the first that says anything counts. https://www.w3.org/TR/png-3/#4Concepts.ColourSpaces"""
    codes = colours.get(b"cICP", b"")
    # Samples are RGB of the full range; anything else is for video.
    if codes[2:] == b"\0\1" and (known := of_codes(codes[0], codes[1])) is not None:
        return known
    if b"iCCP" in colours or b"sRGB" in colours or b"gAMA" not in colours:
        return None
    points = struct.unpack(">8I", colours[b"cHRM"]) if b"cHRM" in colours else None
    found = of_gamma(int.from_bytes(colours[b"gAMA"], "big"), points)
    return None if found == SRGB else found


def sound(kind: bytes, length: int) -> bool:
    """Whether a chunk has the length that its kind has, where that is fixed."""
    return length == LENGTHS.get(kind, length)


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height out of the first chunk. Raises ImageInvalid when it is not a sound IHDR."""
    if len(data) < 33 or data[8:16] != b"\x00\x00\x00\x0dIHDR":
        raise ImageInvalid("the PNG has no header")
    if zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        raise ImageInvalid("the PNG's header has a wrong checksum")
    width, height = struct.unpack_from(">II", data, 16)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise ImageInvalid(f"the PNG says that it is {width} x {height} pixels")
    return width, height


def strip(data: bytes) -> Stripped:
    """Copies the chunks that make pixels and colour; a turn that EXIF asks for is kept in an EXIF block of its own."""
    removed: set[str] = set()
    pieces: list[bytes | memoryview] = [SIGNATURE]
    view = memoryview(data)
    turned = 1
    end = len(SIGNATURE)
    for kind, start, end in chunks(data):
        if kind in KEPT and sound(kind, end - start):
            if kind == b"IDAT" and turned != 1:
                pieces.append(chunk(b"eXIf", orientation.write(turned)))
                turned = 1
            if kind == b"IEND" and turned != 1:
                pieces.append(chunk(b"eXIf", orientation.write(turned)))
            pieces.append(view[start - 8 : end + 4])
            continue
        if kind == b"eXIf":
            turned = orientation.read(data[start:end])
        if kind == b"iTXt" and data.startswith(XMP, start):
            removed.add("xmp")
        else:
            removed.add(NAMES.get(kind, "other"))
    if end + 4 < len(data):
        removed.add("trailing-data")
    return Stripped(b"".join(pieces), tuple(sorted(removed)))


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
