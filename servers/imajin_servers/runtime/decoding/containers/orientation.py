"""The orientation tag: read from an EXIF block, and written into the smallest EXIF block that can hold it."""

from __future__ import annotations

import struct

TAG = 0x0112
MAX_ENTRIES = 1024


def read(exif: bytes) -> int:
    """The orientation, 1 to 8, in the TIFF block `exif`; 1 where it is absent or makes no sense."""
    exif = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 1
    (offset,) = struct.unpack_from(order + "I", exif, 4)
    if offset + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, offset)
    for index in range(min(count, MAX_ENTRIES)):
        entry = offset + 2 + 12 * index
        if entry + 12 > len(exif):
            return 1
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == TAG and kind == 3:
            (value,) = struct.unpack_from(order + "H", exif, entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1


def write(orientation: int) -> bytes:
    """A TIFF block, 26 bytes, that holds the orientation and nothing else."""
    return b"MM\x00\x2a" + struct.pack(">IHHHIHHI", 8, 1, TAG, 3, 1, orientation, 0, 0)
