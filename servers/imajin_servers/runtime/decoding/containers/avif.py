"""AVIF, by its boxes. https://aomediacodec.github.io/av1-avif/"""

from __future__ import annotations

from collections.abc import Sequence

from imajin_servers.runtime.decoding.containers import av1
from imajin_servers.runtime.decoding.containers.boxes import Box, Reader, boxes, find
from imajin_servers.runtime.decoding.containers.edits import Edits, Span, gaps
from imajin_servers.runtime.decoding.containers.header import Header, Stripped
from imajin_servers.runtime.decoding.containers.items import (
    META_SKIP,
    PROFILES,
    extents,
    item_entries,
    primary_colours,
    primary_size,
)
from imajin_servers.runtime.errors import ImageInvalid

BRANDS = {b"avif", b"avis"}
TOP = {b"ftyp", b"meta", b"mdat", b"free"}
STILL = {b"avis": b"avif", b"msf1": b"mif1"}
"""Brands of animations, and those of the still images that they become."""
META = {b"hdlr", b"pitm", b"iinf", b"iref", b"iprp", b"iloc", b"idat", b"dinf", b"grpl", b"free"}
NAMES = {
    b"Exif": "exif",
    b"mime": "xmp",
    b"uri ": "other",
    b"uuid": "c2pa",
    b"jumb": "c2pa",
    b"udta": "other",
    b"moov": "animation",
}
METADATA_ITEMS = {b"Exif", b"mime", b"uri "}
MOST_CODED = 4
"""How many times its pixels the bitstreams of an image may hold."""
SMALL = 1 << 20
"""Pixels that are never too many."""
SAMPLES = (b"trak", b"mdia", b"minf", b"stbl", b"stsz")


def recognises(data: bytes) -> bool:
    """Whether `data` begins like an AVIF: an `ftyp` box with one of its brands."""
    if data[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(data[:4], "big"), 512)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    return bool(brands & BRANDS)


def top_level(data: bytes) -> tuple[list[Box], Box | None]:
    """The outermost boxes, and `meta` among them. Raises ImageInvalid where the file is cut short."""
    outer: list[Box] = []
    try:
        outer.extend(boxes(data, 0, len(data)))
    except ImageInvalid:
        # What follows a whole image may be anything; whether the image is whole shows in its items.
        if b"meta" not in {box.kind for box in outer}:
            raise
    metas = [box for box in outer if box.kind == b"meta"]
    if len(metas) > 1:
        raise ImageInvalid("the AVIF has two item tables")
    return outer, metas[0] if metas else None


def inspect(data: bytes) -> Header:
    """Reads what the file says about its image. Its turn (`irot`, `imir`) is the decoder's to apply."""
    outer, meta = top_level(data)
    frames = 1
    for box in outer:
        if box.kind == b"moov":
            for table in find(data, box, *SAMPLES):
                reader = Reader(data, table)
                reader.version()
                reader.uint(4)
                frames = max(frames, reader.uint(4))
    if meta is None:
        raise ImageInvalid("the AVIF has no still image in it")
    width, height = primary_size(data, meta)
    if not (width and height):
        raise ImageInvalid(f"the AVIF says that it is {width} x {height} pixels")
    check_pixels(data, meta, media(outer), width * height)
    icc = any(data[box.start : box.start + 4] in PROFILES for box in colours(data, meta))
    return Header("avif", width, height, frames, icc=icc, stated=primary_colours(data, meta))


def media(outer: Sequence[Box]) -> list[Box]:
    """The boxes that hold the bytes of items."""
    return [box for box in outer if box.kind == b"mdat"]


def check_pixels(data: bytes, meta: Box, rooms: Sequence[Box], pixels: int) -> None:
    """Raises ImageInvalid when the file is cut short, or when its bitstreams hold far more than `pixels`.

    Alpha, a gain map and the overhang of tiles are why they may hold some times more.
    """
    images = {item.id for item in item_entries(data, meta) if item.kind == b"av01"}
    streams: dict[int, list[bytes]] = {}
    for identity, start, end in extents(data, meta, rooms):
        if identity in images:
            streams.setdefault(identity, []).append(data[start:end])
    coded = sum(width * height for pieces in streams.values() for width, height in av1.frame_sizes(b"".join(pieces)))
    if coded > MOST_CODED * pixels + SMALL:
        raise ImageInvalid(f"the AVIF says that it has {pixels} pixels, and holds {coded}")


def colours(data: bytes, meta: Box) -> list[Box]:
    """The colour properties of all items."""
    return list(find(data, meta, b"iprp", b"ipco", b"colr", skip=META_SKIP))


def strip(data: bytes) -> Stripped:
    """Blanks metadata where it lies, so that no offset in the file changes: zeros in its place, `free` for its type.

    An animation becomes its still image, which is the first frame where it has a still image at all.
    """
    outer, meta = top_level(data)
    edits = Edits()
    removed: set[str] = set()
    end = max((box.end for box in outer if box.kind in TOP), default=0)
    for box in outer:
        if box.kind not in TOP:
            removed.add(NAMES.get(box.kind, "other"))
            edits.free(box)
        elif box.kind == b"free":
            edits.blank(box.start, box.end)
        elif box.kind == b"ftyp":
            for at in (box.start, *range(box.start + 8, box.end - 3, 4)):
                if data[at : at + 4] in STILL:
                    edits.put(at, STILL[data[at : at + 4]])
    if outer[-1].end < len(data):
        removed.add("trailing-data")
    if meta is not None:
        removed |= strip_items(data, edits, outer, meta)
    return Stripped(edits.made(data, end), tuple(sorted(removed)))


def strip_items(data: bytes, edits: Edits, outer: list[Box], meta: Box) -> set[str]:
    """Blanks the metadata items, and all media data that belongs to no image; returns the names of what was removed."""
    removed: set[str] = set()
    for box in boxes(data, meta.start + META_SKIP, meta.end):
        if box.kind not in META:
            removed.add(NAMES.get(box.kind, "other"))
            edits.free(box)
    metadata_items: set[int] = set()
    for item in item_entries(data, meta):
        edits.blank(*item.names)
        if item.kind in METADATA_ITEMS:
            removed.add(NAMES[item.kind])
            metadata_items.add(item.id)
            edits.put(item.kind_at, b"free")
    images: list[Span] = []
    for identity, start, end in extents(data, meta, media(outer)):
        # What a metadata item claims goes, though an image claims it too.
        if identity in metadata_items:
            edits.blank(start, end)
        else:
            images.append((start, end))
    for box in (*media(outer), *find(data, meta, b"idat", skip=META_SKIP)):
        for start, end in gaps(box.start, box.end, images):
            edits.blank(start, end)
    return removed
