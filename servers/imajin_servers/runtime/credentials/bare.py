"""Bare pixels as a file that a manifest can be bound to: an uncompressed TIFF, which is a header and the pixels.

Between servers images travel without a container. TIFF 6.0, section 6 (RGB full-colour images).
"""

from __future__ import annotations

import struct

MEDIA_TYPE = "image/tiff"
SHORT, LONG = 3, 4
TAGS = 9


def tiff(pixels: bytes, width: int, height: int) -> bytes:
    """`pixels` (R, G, B, 8 bits each, rows from the top) behind a header that is the same for the same size."""
    depths = 8 + 2 + 12 * TAGS + 4
    entries = [
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, 3, depths),
        (259, SHORT, 1, 1),
        (262, SHORT, 1, 2),
        (273, LONG, 1, depths + 8),
        (277, SHORT, 1, 3),
        (278, LONG, 1, height),
        (279, LONG, 1, len(pixels)),
    ]
    head = b"II*\x00" + struct.pack("<IH", 8, TAGS) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"".join((head, struct.pack("<I4H", 0, 8, 8, 8, 0), pixels))
