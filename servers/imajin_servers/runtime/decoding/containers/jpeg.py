"""JPEG, by its segments. ITU-T T.81, annex B."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imajin_servers.runtime.decoding.containers import orientation
from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS, Header, Stripped
from imajin_servers.runtime.errors import ImageInvalid

EOI, SOS, APP0, APP1, APP2, APP13, APP14, COM = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
HUFFMAN = {0xC0, 0xC1, 0xC2}
DENSEST = 512
"""Pixels that a byte can stand for at most: Huffman codes take a bit or more for each block of 8 x 8."""
ALONE = {0x01, *range(0xD0, 0xD8)}
MAX_SCANS = 100
"""A progressive file costs one pass over all its pixels per scan; encoders write about ten."""
FILL = re.compile(rb"\xff+")
# A marker ends the entropy-coded data of a scan; stuffed bytes (FF 00) and restarts (FF D0 to FF D7) are part of it.
MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
EXIF, XMP, XMP_MORE = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00"
ICC, MPF, IPTC, ADOBE, JFIF = b"ICC_PROFILE\x00", b"MPF\x00", b"Photoshop 3.0\x00", b"Adobe", b"JFIF\x00"


@dataclass(frozen=True)
class Segment:
    """One segment: its marker, its first byte (the FF), its payload's first byte, and the end of all that belongs to it."""

    marker: int
    begin: int
    payload: int
    end: int


def recognises(data: bytes) -> bool:
    """Whether `data` begins like a JPEG."""
    return data.startswith(b"\xff\xd8\xff")


def segments(data: bytes) -> Iterator[Segment]:
    """Every segment between SOI and EOI; a scan's entropy-coded data belongs to its SOS. Raises ImageInvalid when cut short."""
    position = 2
    scans = 0
    for _ in range(MAX_BLOCKS):
        begin = position
        fill = FILL.match(data, position)
        position = fill.end() if fill else begin
        if position == begin or position >= len(data):
            raise ImageInvalid("the JPEG is cut short or damaged")
        marker = data[position]
        position += 1
        if marker == EOI:
            yield Segment(marker, begin, position, position)
            return
        if marker in ALONE:
            continue
        if position + 2 > len(data):
            raise ImageInvalid("the JPEG is cut short")
        (length,) = struct.unpack_from(">H", data, position)
        end = position + length
        if length < 2 or end > len(data):
            raise ImageInvalid("the JPEG is cut short")
        if marker == SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise ImageInvalid(f"the JPEG has more than {MAX_SCANS} scans")
            found = MARKER.search(data, end)
            if found is None:
                raise ImageInvalid("the JPEG is cut short")
            end = found.start()
        yield Segment(marker, begin, position + 2, end)
        position = end
    raise ImageInvalid(f"the JPEG has more than {MAX_BLOCKS} segments")


def inspect(data: bytes) -> Header:
    """Reads what the file says about its image."""
    size: tuple[int, int] | None = None
    turned, icc, scanned = 1, False, 0
    huffman = False
    for segment in segments(data):
        payload = data[segment.payload : min(segment.end, segment.payload + 64)]
        if segment.marker in FRAMES:
            if size is not None:
                raise ImageInvalid("the JPEG has two frames")
            if len(payload) < 6:
                raise ImageInvalid("the JPEG's frame header is cut short")
            height, width = struct.unpack_from(">HH", payload, 1)
            if not (width and height):
                raise ImageInvalid(f"the JPEG says that it is {width} x {height} pixels")
            size = width, height
            huffman = segment.marker in HUFFMAN
        elif segment.marker == APP1 and payload.startswith(EXIF):
            turned = orientation.read(data[segment.payload : segment.end])
        elif segment.marker == APP2 and payload.startswith(ICC):
            icc = True
        if segment.marker == SOS:
            scanned += segment.end - segment.payload
    if size is None or not scanned:
        raise ImageInvalid("the JPEG has no pixels")
    least = size[0] * size[1] // DENSEST if huffman else 0
    return Header("jpeg", *size, orientation=turned, icc=icc, packed=scanned, least=least)


def strip(data: bytes) -> Stripped:
    """Copies the segments that make pixels and colour; a turn that EXIF asks for is kept in an EXIF block of its own."""
    removed: set[str] = set()
    pieces: list[bytes | memoryview] = []
    view = memoryview(data)
    turned, last = 1, 2
    for segment in segments(data):
        payload = data[segment.payload : min(segment.end, segment.payload + 64)]
        last = segment.end
        name = metadata_name(segment.marker, payload)
        if segment.marker == APP0 and payload.startswith(JFIF):
            pieces.append(jfif(payload))
            if len(payload) >= 14 and payload[12] and payload[13]:
                removed.add("thumbnail")
        elif name is None:
            pieces.append(view[segment.begin : segment.end])
        else:
            removed.add(name)
            if name == "exif":
                turned = orientation.read(data[segment.payload : segment.end])
    if last < len(data):
        removed.add("trailing-data")
    if turned != 1:
        block = EXIF + orientation.write(turned)
        # After JFIF, which must come first where it is.
        place = 1 if pieces and bytes(pieces[0][:2]) == b"\xff\xe0" else 0
        pieces.insert(place, b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
    return Stripped(b"".join([b"\xff\xd8", *pieces]), tuple(sorted(removed)))


def metadata_name(marker: int, payload: bytes) -> str | None:
    """What a segment is called when it is metadata; None when pixels or colours depend on it."""
    if marker == COM:
        return "comment"
    if not 0xE0 <= marker <= 0xEF:
        return None
    # The Adobe segment says how colours are coded, the ICC profile what they mean.
    if (marker == APP14 and payload.startswith(ADOBE)) or (marker == APP2 and payload.startswith(ICC)):
        return None
    if marker == APP1 and payload.startswith(EXIF):
        return "exif"
    if marker == APP1 and payload.startswith((XMP, XMP_MORE)):
        return "xmp"
    if marker == APP13 and payload.startswith(IPTC):
        return "iptc"
    if marker == APP2 and payload.startswith(MPF):
        return "multi-picture"
    if marker == 0xEB and payload.startswith(b"JP"):
        return "c2pa"
    return "thumbnail" if marker == APP0 and payload.startswith(b"JFXX") else "other"


def jfif(payload: bytes) -> bytes:
    """The JFIF segment with its pixel aspect and without its thumbnail."""
    kept = payload[:12].ljust(12, b"\x00") + b"\x00\x00"
    return b"\xff\xe0\x00\x10" + kept
