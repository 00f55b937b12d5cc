"""Boxes of the ISO base media file format, which AVIF is made of. ISO/IEC 14496-12, section 4.2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS
from imajin_servers.runtime.errors import ImageInvalid


@dataclass(frozen=True)
class Box:
    """One box: its type, its first byte, its payload's first byte and its end."""

    kind: bytes
    begin: int
    start: int
    end: int


class Reader:
    """Reads big-endian fields one after another. Raises ImageInvalid past the end."""

    def __init__(self, data: bytes, box: Box) -> None:
        self.data = data
        self.position = box.start
        self.end = box.end

    def uint(self, size: int) -> int:
        """An unsigned number of `size` bytes; 0 for none."""
        if self.position + size > self.end:
            raise ImageInvalid("the AVIF is cut short")
        self.position += size
        return int.from_bytes(self.data[self.position - size : self.position], "big")

    def version(self) -> tuple[int, int]:
        """Version and flags of a full box."""
        return self.uint(1), self.uint(3)


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes that lie side by side between `start` and `end`. Raises ImageInvalid where one reaches past `end`."""
    position = start
    for _ in range(MAX_BLOCKS):
        if position >= end:
            return
        if position + 8 > end:
            raise ImageInvalid("the AVIF is cut short")
        (size,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        payload = position + 8
        if size == 1 and position + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, payload)
            payload += 8
        stop = end if size == 0 else position + size
        if stop > end or stop < payload:
            raise ImageInvalid("the AVIF is cut short or damaged")
        yield Box(kind, position, payload, stop)
        position = stop
    raise ImageInvalid(f"the AVIF has more than {MAX_BLOCKS} boxes")


def find(data: bytes, box: Box, *path: bytes, skip: int = 0) -> Iterator[Box]:
    """All boxes below `box` at `path`; the payload of `box` itself begins with `skip` bytes that are no box."""
    for child in boxes(data, box.start + skip, box.end):
        if child.kind == path[0]:
            if len(path) == 1:
                yield child
            else:
                yield from find(data, child, *path[1:])
