"""Images on the wire: cut into chunks, and put together again within a limit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from imajin.common.v1 import image_pb2
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

CHUNK_BYTES = 512 * 1024
"""Fastest of the sizes measured; see docs/decisions/image-bytes.md."""


def chunks(
    data: bytes, format: image_pb2.ImageFormat, width: int, height: int, image_index: int = 0
) -> Iterator[image_pb2.ImageChunk]:
    """`data` in pieces, the info in the first one. Empty data makes one empty, last chunk."""
    info = image_pb2.ImageInfo(
        format=format, width=width, height=height, size_bytes=len(data), sha256=hashlib.sha256(data).digest()
    )
    view = memoryview(data)
    for offset in range(0, max(len(data), 1), CHUNK_BYTES):
        yield image_pb2.ImageChunk(
            image_index=image_index,
            offset=offset,
            data=bytes(view[offset : offset + CHUNK_BYTES]),
            info=info if offset == 0 else None,
            last=offset + CHUNK_BYTES >= len(data),
        )


@dataclass
class Image:
    """An image put together: its encoded bytes and what the sender said about it."""

    info: image_pb2.ImageInfo
    data: bytes


class Assembly:
    """Puts the chunks of one image together.

    Raises ImageTooLarge as soon as more than `limit` bytes have come, ImageInvalid on a gap, a missing info or a wrong hash.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.buffer = bytearray()
        self.info: image_pb2.ImageInfo | None = None
        self.done = False

    def add(self, chunk: image_pb2.ImageChunk) -> None:
        """Takes the next chunk."""
        if self.done:
            raise ImageInvalid("a chunk came after the last one")
        if chunk.offset != len(self.buffer):
            raise ImageInvalid(f"a chunk starts at byte {chunk.offset}, expected {len(self.buffer)}")
        if self.info is None:
            self.info = image_pb2.ImageInfo()
            self.info.CopyFrom(chunk.info)
            if self.info.size_bytes > self.limit:
                raise ImageTooLarge.over("bytes", self.limit, self.info.size_bytes)
        data = chunk.data
        if len(self.buffer) + len(data) > self.limit:
            raise ImageTooLarge.over("bytes", self.limit, len(self.buffer) + len(data))
        self.buffer += data
        self.done = chunk.last

    def result(self) -> Image:
        """The whole image, which is let go here: once. Raises ImageInvalid when chunks are missing."""
        if self.info is None or not self.done:
            raise ImageInvalid("the image ends before its last chunk")
        data = bytes(self.buffer)
        self.buffer = bytearray()
        if self.info.sha256 and hashlib.sha256(data).digest() != self.info.sha256:
            raise ImageInvalid("the image does not match its SHA-256")
        return Image(self.info, data)
