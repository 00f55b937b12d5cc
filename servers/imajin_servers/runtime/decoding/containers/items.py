"""The items of an AVIF: which there are, where their bytes lie, what is said about them. ISO/IEC 14496-12, section 8.11."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imajin_servers.runtime.decoding.containers.boxes import Box, Reader, boxes, find
from imajin_servers.runtime.decoding.containers.header import MAX_BLOCKS
from imajin_servers.runtime.decoding.containers.stated import SRGB, Colours, of_codes
from imajin_servers.runtime.errors import ImageInvalid

META_SKIP = 4
"""`meta` is a full box: version and flags lie before its first child."""
PROFILES = (b"prof", b"rICC")
"""Kinds of `colr` that hold a profile."""
MAX_PIECES = 4096
"""Pieces of all items of one file. A still image has one to three items, a grid one for each of its tiles."""


@dataclass(frozen=True)
class Item:
    """An entry of `iinf`: the item's id, its type, and where the type and the names after it lie in the file."""

    id: int
    kind: bytes
    kind_at: int
    names: tuple[int, int]


def item_entries(data: bytes, meta: Box) -> Iterator[Item]:
    """The entries of `iinf`."""
    for table in find(data, meta, b"iinf", skip=META_SKIP):
        reader = Reader(data, table)
        version, _ = reader.version()
        reader.uint(2 if version == 0 else 4)
        for entry in boxes(data, reader.position, table.end):
            if entry.kind != b"infe":
                continue
            fields = Reader(data, entry)
            version, _ = fields.version()
            if version < 2:
                raise ImageInvalid("the AVIF's item table is of a kind that images don't use")
            identity = fields.uint(2 if version == 2 else 4)
            fields.uint(2)
            kind_at = fields.position
            fields.uint(4)
            yield Item(identity, data[kind_at : kind_at + 4], kind_at, (kind_at + 4, entry.end))


def extents(data: bytes, meta: Box, media: Sequence[Box]) -> Iterator[tuple[int, int, int]]:
    """Item id, first byte and end in the file of every piece of every item.

    Raises ImageInvalid for a piece that lies in none of the `media` boxes (`mdat`) and not in `idat`: an item could be the
    tables themselves.
    """
    pieces = total = 0
    within = list(find(data, meta, b"idat", skip=META_SKIP))[:1]
    for table in find(data, meta, b"iloc", skip=META_SKIP):
        reader = Reader(data, table)
        version, _ = reader.version()
        sizes = reader.uint(2)
        offset_size, length_size = sizes >> 12 & 15, sizes >> 8 & 15
        base_size, index_size = sizes >> 4 & 15, sizes & 15 if version else 0
        for _ in range(min(reader.uint(2 if version < 2 else 4), MAX_BLOCKS)):
            identity = reader.uint(2 if version < 2 else 4)
            method = reader.uint(2) & 15 if version else 0
            reader.uint(2)
            base = reader.uint(base_size)
            for _ in range(reader.uint(2)):
                reader.uint(index_size)
                start = base + reader.uint(offset_size)
                length = reader.uint(length_size)
                if method == 1 and within:
                    start += within[0].start
                rooms = within if method == 1 else media
                room = next((box for box in rooms if box.start <= start <= start + length <= box.end), None)
                if room is None:
                    raise ImageInvalid("the AVIF is cut short")
                end = start + length if length else room.end
                pieces, total = pieces + 1, total + end - start
                # Items of a sound file don't share bytes; one piece named a million times is made to cost memory.
                if pieces > MAX_PIECES or total > 2 * len(data):
                    raise ImageInvalid("the AVIF's items overlap")
                yield identity, start, end


def primary_properties(data: bytes, meta: Box) -> Iterator[Box]:
    """What is said about the primary item."""
    primary = 0
    for box in find(data, meta, b"pitm", skip=META_SKIP):
        reader = Reader(data, box)
        version, _ = reader.version()
        primary = reader.uint(2 if version == 0 else 4)
    for properties in find(data, meta, b"iprp", skip=META_SKIP):
        known = [box for store in find(data, properties, b"ipco") for box in boxes(data, store.start, store.end)]
        for table in find(data, properties, b"ipma"):
            for item, index in associations(data, table):
                if item == primary and 0 < index <= len(known):
                    yield known[index - 1]


def primary_size(data: bytes, meta: Box) -> tuple[int, int]:
    """Width and height of the primary item, (0, 0) when nothing says them."""
    for box in primary_properties(data, meta):
        if box.kind == b"ispe":
            reader = Reader(data, box)
            reader.version()
            return reader.uint(4), reader.uint(4)
    return 0, 0


def primary_colours(data: bytes, meta: Box) -> Colours | None:
    """The colours that are stated for the primary item by numbers; None for sRGB, or where a profile says more."""
    stated = None
    for box in primary_properties(data, meta):
        if box.kind == b"colr":
            reader = Reader(data, box)
            kind = reader.uint(4).to_bytes(4, "big")
            if kind in PROFILES:
                return None
            if kind == b"nclx" and stated is None:
                stated = of_codes(reader.uint(2), reader.uint(2))
    return None if stated == SRGB else stated


def associations(data: bytes, table: Box) -> Iterator[tuple[int, int]]:
    """Item id and 1-based index of its property, for every association in `ipma`."""
    reader = Reader(data, table)
    version, flags = reader.version()
    for _ in range(min(reader.uint(4), MAX_PIECES)):
        item = reader.uint(2 if version == 0 else 4)
        for _ in range(min(reader.uint(1), 64)):
            yield item, reader.uint(2) & 0x7FFF if flags & 1 else reader.uint(1) & 0x7F
