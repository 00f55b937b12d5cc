"""Images as they come out of the suite, and as they go in: bytes, a path, a Pillow image, or one that came out."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar, Union

from google.protobuf.message import Message

from imajin.common.v1 import finishing_pb2, image_pb2
from imajin_client.errors import ImageInvalid, TransferBroken
from imajin_client.names import Format, value, word

if TYPE_CHECKING:
    from PIL import Image as PillowImage

MessageT = TypeVar("MessageT", bound=Message)

CHUNK_BYTES = 512 * 1024
"""Fastest of the sizes measured; see docs/decisions/image-bytes.md."""
EXTENSIONS: Mapping[str, str] = {
    "png": ".png",
    "jpeg": ".jpg",
    "webp": ".webp",
    "avif": ".avif",
    "raw-rgb8": ".rgb",
}
"""File name endings by format."""


@dataclass(frozen=True)
class Moderation:
    """What moderation decided: `score` is the classifier's highest for unsafe content, rejected from `threshold` on."""

    checked: bool
    score: float
    threshold: float
    prompt_level: str = ""
    """Level of the rules that the prompt passed: `off`, `standard` or `strict`."""

    @classmethod
    def from_proto(cls, judged: finishing_pb2.Moderation) -> Moderation:
        """From the contract's message."""
        return cls(judged.image_checked, judged.image_score, judged.threshold, judged.prompt_level)


@dataclass(frozen=True)
class Image:
    """One encoded image. `bytes(image)` and `image.data` are its bytes."""

    data: bytes = field(repr=False)
    """The encoded bytes; for `raw-rgb8` bare pixels, rows from the top, `(height, width, 3)`."""
    format: Format
    """How the bytes are encoded."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    name: str = ""
    """Its name within an answer or a job, such as `hero` or `hero-1280.webp`."""
    quality: int = 0
    """Encoder quality, 1 to 100; 0 for lossless encodings or unknown."""
    file_name: str = ""
    """Name to serve it under, with a digest of its content in it, such as `hero-1280.3fa9c1d2e4b5.webp`."""
    score: float = 0.0
    """How near it looks to what it was encoded from, 0 to 100, where a target of quality was asked for."""
    seed: int | None = None
    """Seed of the noise that it was drawn from; None for images that were not drawn by the call."""
    model: str = ""
    """Name of the model that drew it."""
    steps: int = 0
    """Denoising steps made."""
    guidance_scale: float = 0.0
    """Guidance scale used."""
    derivatives: tuple[Image, ...] = ()
    """Responsive variants."""
    moderation: Moderation | None = None
    """What moderation decided, where it looked."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Time by stage in milliseconds: `generating`, `processing`."""

    def __bytes__(self) -> bytes:
        """The encoded bytes."""
        return self.data

    def pil(self) -> PillowImage.Image:
        """The image as a Pillow image, pixels loaded. Needs Pillow: `pip install 'imajin[images]'`."""
        from PIL import Image as Pillow

        if self.format == "raw-rgb8":
            return Pillow.frombytes("RGB", (self.width, self.height), self.data)
        with Pillow.open(io.BytesIO(self.data)) as opened:
            opened.load()
            return opened

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the bytes to `path` as they are, and returns it. A path without an ending gets the format's.

        The bytes are not converted: an ending of another format is refused with ValueError.
        """
        target = Path(path)
        own = EXTENSIONS[self.format]
        if not target.suffix:
            target = target.with_name(target.name + own)
        ending = target.suffix.lower().replace(".jpeg", ".jpg")
        if ending != own and ending in EXTENSIONS.values():
            raise ValueError(f"the image is {self.format}; {target.name} says otherwise")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Never half an image under its final name, whoever reads along.
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(self.data)
        partial.replace(target)
        return target


ImageSource: TypeAlias = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", Image, "PillowImage.Image"]
"""What a call takes as an image: encoded bytes, the path of a file, an Image, or a Pillow image."""


@dataclass(frozen=True)
class Upload:
    """An image on its way in."""

    data: bytes
    format: image_pb2.ImageFormat
    width: int = 0
    height: int = 0

    def chunks(self) -> Iterator[image_pb2.ImageChunk]:
        """The bytes in pieces, the info in the first one."""
        digest = hashlib.sha256(self.data).digest()
        info = image_pb2.ImageInfo(
            format=self.format, width=self.width, height=self.height, size_bytes=len(self.data), sha256=digest
        )
        for offset in range(0, max(len(self.data), 1), CHUNK_BYTES):
            yield image_pb2.ImageChunk(
                offset=offset,
                data=self.data[offset : offset + CHUNK_BYTES],
                info=info if offset == 0 else None,
                last=offset + CHUNK_BYTES >= len(self.data),
            )


async def messages(kind: type[MessageT], spec: Message, picture: Upload) -> AsyncIterator[MessageT]:
    """The messages of an upload, each a `kind`: the spec, then the image in chunks."""
    yield kind(spec=spec)
    for chunk in picture.chunks():
        yield kind(chunk=chunk)


async def upload(source: ImageSource) -> Upload:
    """Reads `source`. Raises FileNotFoundError and its like for a path, ImageInvalid for what is no image."""
    encoded = image_pb2.IMAGE_FORMAT_UNSPECIFIED
    if isinstance(source, Image):
        return Upload(source.data, value(image_pb2.ImageFormat, source.format, "format"), source.width, source.height)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Upload(bytes(source), encoded)
    if isinstance(source, (str, os.PathLike)):
        return Upload(await asyncio.to_thread(Path(source).read_bytes), encoded)
    if not hasattr(source, "tobytes") or not hasattr(source, "mode"):
        raise ImageInvalid(f"a {type(source).__name__} is no image: give bytes, a path or a Pillow image")
    return await asyncio.to_thread(from_pillow, source)


async def stencil(source: ImageSource) -> Upload:
    """Reads a mask: as `upload`, but pixels go as a PNG of greys, which is small. Raises what `upload` raises."""
    if isinstance(source, (Image, bytes, bytearray, memoryview, str, os.PathLike)):
        return await upload(source)
    if not hasattr(source, "tobytes") or not hasattr(source, "mode"):
        return await upload(source)
    buffer = io.BytesIO()
    await asyncio.to_thread(source.convert("L").save, buffer, "PNG")
    return Upload(buffer.getvalue(), image_pb2.IMAGE_FORMAT_PNG, source.width, source.height)


def from_pillow(picture: PillowImage.Image) -> Upload:
    """A Pillow image without loss: bare pixels, or PNG where it is see-through."""
    if picture.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in picture.info:
        buffer = io.BytesIO()
        picture.convert("RGBA").save(buffer, "PNG", compress_level=1)
        return Upload(buffer.getvalue(), image_pb2.IMAGE_FORMAT_PNG, picture.width, picture.height)
    pixels = picture.convert("RGB").tobytes()
    return Upload(pixels, image_pb2.IMAGE_FORMAT_RAW_RGB8, picture.width, picture.height)


@dataclass
class Incoming:
    """One image while its chunks come."""

    info: image_pb2.ImageInfo
    data: bytearray = field(default_factory=bytearray)
    done: bool = False


class Downloads:
    """Puts the images of one call together from their chunks. Raises TransferBroken on a gap, a missing end or a wrong hash."""

    def __init__(self) -> None:
        self.images: dict[int, Incoming] = {}

    def add(self, chunk: image_pb2.ImageChunk) -> None:
        """Takes the next chunk."""
        index = chunk.image_index
        if index not in self.images:
            info = image_pb2.ImageInfo()
            info.CopyFrom(chunk.info)
            self.images[index] = Incoming(info)
        incoming = self.images[index]
        if incoming.done or chunk.offset != len(incoming.data):
            raise TransferBroken(f"image {index}: a chunk starts at byte {chunk.offset}, expected {len(incoming.data)}")
        incoming.data += chunk.data
        incoming.done = chunk.last

    def take(self, index: int) -> tuple[bytes, Format]:
        """The bytes of image `index`, complete and checked, and their format; its memory is given up."""
        incoming = self.images.pop(index, None)
        if incoming is None or not incoming.done:
            raise TransferBroken(f"image {index} ends before its last chunk")
        data = bytes(incoming.data)
        if incoming.info.sha256 and hashlib.sha256(data).digest() != incoming.info.sha256:
            raise TransferBroken(f"image {index} does not match its SHA-256")
        return data, word(image_pb2.ImageFormat, incoming.info.format)

    def encoded(self, image: image_pb2.EncodedImage) -> Image:
        """A variant or derivative with its bytes."""
        data, _ = self.take(image.image_index)
        kind = word(image_pb2.ImageFormat, image.format)
        return Image(data, kind, image.width, image.height, image.name, image.quality, image.file_name, image.score)
