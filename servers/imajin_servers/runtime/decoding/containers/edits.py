"""Changes to a file of boxes that move nothing: zeros and types, written where they lie."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from imajin_servers.runtime.decoding.containers.boxes import Box

Span = tuple[int, int]
"""First byte and end."""
ZEROS = memoryview(bytes(65_536))


class Edits:
    """What is to be changed. The changed file is made in one go, so that a large one is held twice and no more often."""

    def __init__(self) -> None:
        self.blanks: list[Span] = []
        self.types: dict[int, bytes] = {}

    def blank(self, start: int, end: int) -> None:
        """Zeros from `start` up to `end`."""
        if start < end:
            self.blanks.append((start, end))

    def put(self, at: int, kind: bytes) -> None:
        """Writes a type of four bytes."""
        self.types[at] = kind

    def free(self, box: Box) -> None:
        """Makes `box` a `free` box full of zeros."""
        self.put(box.begin + 4, b"free")
        self.blank(box.start, box.end)

    def made(self, data: bytes, length: int) -> bytes:
        """The first `length` bytes of `data`, changed. Zeros win over types."""
        view, places = memoryview(data), sorted(self.types)
        pieces: list[bytes | memoryview] = []
        position = 0
        for start, end in gaps(0, length, self.blanks):
            pieces.extend(zeros(start - position))
            position = start
            for at in places[bisect_left(places, start) : bisect_left(places, end - 3)]:
                pieces += [view[position:at], self.types[at]]
                position = at + 4
            pieces.append(view[position:end])
            position = end
        pieces.extend(zeros(length - position))
        return b"".join(pieces)


def zeros(count: int) -> Iterator[memoryview]:
    """`count` zeros."""
    for left in range(count, 0, -len(ZEROS)):
        yield ZEROS[:left]


def gaps(start: int, end: int, spans: Iterable[Span]) -> Iterator[Span]:
    """The parts from `start` up to `end` that none of `spans` covers, in order."""
    for first, last in sorted(spans):
        if first > start and start < end:
            yield start, min(first, end)
        start = max(start, last)
    if start < end:
        yield start, end
