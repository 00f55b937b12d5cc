"""How large the C2PA manifest in a file is, by its blocks alone: what is too large is not given to a parser.

C2PA 2.2, annex A: where each format keeps its manifest.
"""

from __future__ import annotations

from imajin_servers.runtime.decoding.containers import jpeg, png, webp
from imajin_servers.runtime.decoding.containers.boxes import boxes
from imajin_servers.runtime.decoding.containers.header import FileFormat

APP11, JUMBF = 0xEB, b"JP"
C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def manifest_bytes(data: bytes, format: FileFormat) -> int:
    """Length of the manifest store in `data`, with what wraps it; 0 where there is none. Raises ImageInvalid."""
    match format:
        case "png":
            return sum(end - start for kind, start, end in png.chunks(data) if kind == b"caBX")
        case "webp":
            return sum(end - start for kind, start, end in webp.chunks(data) if kind == b"C2PA")
        case "jpeg":
            return sum(
                segment.end - segment.payload
                for segment in jpeg.segments(data)
                if segment.marker == APP11 and data[segment.payload : segment.payload + 2] == JUMBF
            )
        case "avif":
            return sum(
                box.end - box.start
                for box in boxes(data, 0, len(data))
                if box.kind == b"uuid" and data[box.start : box.start + 16] == C2PA_BOX
            )
        case _:
            return 0
