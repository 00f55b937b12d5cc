"""Images among the events of a stream, put together again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from imajin.common.v1 import image_pb2
from imajin_gateway import dialect
from imajin_gateway.contract import has_image
from imajin_gateway.errors import ApiError

MEDIA_TYPES = {
    image_pb2.IMAGE_FORMAT_PNG: "image/png",
    image_pb2.IMAGE_FORMAT_JPEG: "image/jpeg",
    image_pb2.IMAGE_FORMAT_WEBP: "image/webp",
    image_pb2.IMAGE_FORMAT_AVIF: "image/avif",
}


@dataclass
class Image:
    """One image as far as it has come."""

    info: image_pb2.ImageInfo
    data: bytearray = field(default_factory=bytearray)
    done: bool = False

    @property
    def media_type(self) -> str:
        """Media type of the bytes."""
        return MEDIA_TYPES.get(self.info.format, "application/octet-stream")

    @property
    def etag(self) -> str:
        """The SHA-256 of the bytes, quoted as HTTP wants it."""
        return f'"{(self.info.sha256 or hashlib.sha256(self.data).digest()).hex()}"'


class Images:
    """The images of one answer, at most `limit` bytes in all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.by_index: dict[int, Image] = {}

    def add(self, chunk: image_pb2.ImageChunk) -> None:
        """Takes the next chunk. A server that sends nonsense is at fault, not the client."""
        image = self.by_index.setdefault(chunk.image_index, Image(chunk.info))
        data = chunk.data
        self.size += len(data)
        if self.size > self.limit:
            raise ApiError("INTERNAL", f"the answer has more than {self.limit} bytes of images")
        if image.done or chunk.offset != len(image.data):
            raise ApiError("INTERNAL", "the server sent an image out of order")
        image.data += data
        image.done = chunk.last

    def of(self, message: Message) -> Image | None:
        """The image that `message` describes, where it describes one: then its format is set."""
        if not has_image(type_of(message)) or not getattr(message, "format", 0):
            return None
        image = self.by_index.get(getattr(message, "image_index", 0))
        if image is not None and not image.done:
            raise ApiError("INTERNAL", "the server sent an image without its end")
        return image

    def fill(self, message: Message) -> None:
        """Puts the bytes of every image that `message` describes, at any depth, into its `image_data`."""
        for described in within(message):
            if (image := self.of(described)) is not None:
                described.image_data = bytes(image.data)  # type: ignore[attr-defined]

    def main(self, message: Message) -> Image:
        """The one image that an answer of bare bytes can carry: the message's own, or the only one there is."""
        image = self.of(message)
        if image is None and len(self.by_index) == 1:
            image = next(iter(self.by_index.values()))
        if image is None:
            text = f"the answer holds {len(self.by_index)} images; ask for application/json"
            raise ApiError("NOT_ACCEPTABLE", text, details={"available": "application/json"})
        return image


def type_of(message: Message) -> Descriptor:
    """Type of a message."""
    descriptor: Any = message.DESCRIPTOR
    return descriptor  # type: ignore[no-any-return]


def within(message: Message) -> Iterator[Message]:
    """`message` and every message in it."""
    yield message
    for descriptor in dialect.fields_of(message):
        if descriptor.type != F.TYPE_MESSAGE or (descriptor.has_presence and not message.HasField(descriptor.name)):
            continue
        value: Any = getattr(message, descriptor.name)
        if dialect.is_map(descriptor):
            if dialect.map_fields(descriptor)[1].type == F.TYPE_MESSAGE:
                for item in value.values():
                    yield from within(item)
        elif descriptor.is_repeated:
            for item in value:
                yield from within(item)
        else:
            yield from within(value)
