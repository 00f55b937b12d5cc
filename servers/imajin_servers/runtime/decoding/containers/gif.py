"""GIF, by its blocks. https://www.w3.org/Graphics/GIF/spec-gif89a.txt"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS, Header, Stripped
from imajin_servers.runtime.errors import ImageInvalid

EXTENSION, IMAGE, TRAILER = 0x21, 0x2C, 0x3B
CONTROL, COMMENT, APPLICATION = 0xF9, 0xFE, 0xFF
NAMES = {COMMENT: "comment"}
APPLICATIONS = {b"XMP DataXMP": "xmp", b"NETSCAPE2.0": "animation", b"ANIMEXTS1.0": "animation"}
MAX_PIECES = 200_000
"""Sub-blocks of one file. Encoders fill them to 255 bytes, so that 20 MB have 80,000."""
DENSEST = 4096 * 8 // 3
"""Pixels that a byte can stand for at most: a code takes 3 bits or more, and no string is longer than the table."""


@dataclass(frozen=True)
class Block:
    """One block: its introducer, the label of an extension (else 0), first byte, first sub-block, and end."""

    kind: int
    label: int
    begin: int
    body: int
    end: int


def recognises(data: bytes) -> bool:
    """Whether `data` begins like a GIF."""
    return data.startswith((b"GIF87a", b"GIF89a"))


def colours_end(data: bytes, flags: int, position: int) -> int:
    """Where the colour table that `flags` announce ends when it begins at `position`."""
    return position + (3 << (flags & 7) + 1) if flags & 0x80 else position


def first_block(data: bytes) -> int:
    """Where the first block begins. Raises ImageInvalid when the file is shorter than that."""
    start = colours_end(data, data[10], 13) if len(data) >= 13 else 13
    if start >= len(data):
        raise ImageInvalid("the GIF is cut short")
    return start


def blocks(data: bytes) -> Iterator[Block]:
    """Every block up to the trailer, which old encoders forget. Raises ImageInvalid where the file is cut short."""
    position, pieces = first_block(data), 0
    for _ in range(MAX_BLOCKS):
        begin = position
        if begin >= len(data) or data[begin] == TRAILER:
            return
        kind, label = data[begin], 0
        if kind == EXTENSION and begin + 2 < len(data):
            label, body = data[begin + 1], begin + 2
        elif kind == IMAGE and begin + 10 < len(data):
            # The byte after the colours says how long the first codes are.
            body = colours_end(data, data[begin + 9], begin + 10) + 1
        else:
            raise ImageInvalid("the GIF is cut short or damaged")
        position = body
        while True:
            if position >= len(data):
                raise ImageInvalid("the GIF is cut short")
            length = data[position]
            position += 1 + length
            if not length:
                break
            pieces += 1
            if pieces > MAX_PIECES:
                raise ImageInvalid(f"the GIF has more than {MAX_PIECES} pieces")
        yield Block(kind, label, begin, body, position)
    raise ImageInvalid(f"the GIF has more than {MAX_BLOCKS} blocks")


def inspect(data: bytes) -> Header:
    """Reads what the file says about its image."""
    frames = packed = pixels = 0
    first_block(data)
    width, height = struct.unpack_from("<HH", data, 6)
    if not (width and height):
        raise ImageInvalid(f"the GIF says that it is {width} x {height} pixels")
    for block in blocks(data):
        if block.kind == IMAGE:
            frames += 1
            if frames == 1:
                packed, pixels = block.end - block.body, frame_pixels(data, block, width, height)
    if not frames:
        raise ImageInvalid("the GIF has no pixels")
    return Header("gif", width, height, frames, packed=packed, least=pixels // DENSEST)


def frame_pixels(data: bytes, block: Block, width: int, height: int) -> int:
    """How many pixels a frame has. Raises ImageInvalid for one that a decoder would enlarge its canvas for."""
    left, top, wide, high = struct.unpack_from("<HHHH", data, block.begin + 1)
    if not (wide and high):
        raise ImageInvalid(f"the GIF's first frame says that it is {wide} x {high} pixels")
    if left + wide > width or top + high > height:
        raise ImageInvalid("the GIF's first frame reaches beyond its canvas")
    return int(wide * high)


def strip(data: bytes) -> Stripped:
    """Keeps the colours and the first frame, with its transparency; an animation becomes that frame."""
    removed: set[str] = set()
    control, frame, end = b"", b"", first_block(data)
    for block in blocks(data):
        end = block.end
        if block.kind == IMAGE and not frame:
            frame = data[block.begin : block.end]
        elif block.kind == IMAGE:
            removed.add("animation")
        elif block.label == CONTROL:
            control = control if frame else still(data[block.begin : block.end])
        elif block.label == APPLICATION:
            name = data[block.body + 1 : block.body + 12]
            removed.add(APPLICATIONS.get(name, "other"))
        else:
            removed.add(NAMES.get(block.label, "other"))
    if end + 1 < len(data):
        removed.add("trailing-data")
    head = b"GIF89a" + data[6 : first_block(data)]
    return Stripped(head + control + frame + bytes([TRAILER]), tuple(sorted(removed)))


def still(control: bytes) -> bytes:
    """The graphic control of a frame with its transparent colour and without delay and disposal; nothing when it has none."""
    if len(control) != 8 or not control[3] & 1:
        return b""
    return bytes([EXTENSION, CONTROL, 4, 1, 0, 0, control[6], 0])
