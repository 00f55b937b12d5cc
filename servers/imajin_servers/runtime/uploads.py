"""What a client sends with an image: a spec, then the image in it or in chunks after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from imajin.common.v1 import image_pb2
from imajin_servers.runtime.errors import DeadlineExceeded, ImageTooLarge, ImajinError, InvalidArgument
from imajin_servers.runtime.images import Assembly, Image

LINGER_BYTES = 64 * 1024 * 1024
"""What is read and thrown away of a refused upload, so that the refusal arrives."""
LINGER_SECONDS = 1.0
LINGER_MESSAGE = 1024 * 1024
"""What a message that the contract forbids counts for."""


class Spec(Protocol):
    """The first message of every call."""

    @property
    def image_data(self) -> bytes:
        """The image when it is small."""
        ...


SpecT = TypeVar("SpecT", bound=Spec)
SpecT_co = TypeVar("SpecT_co", bound=Spec, covariant=True)


class Request(Protocol[SpecT_co]):
    """One message of a call: a spec or a chunk."""

    @property
    def spec(self) -> SpecT_co:
        """The spec."""
        ...

    @property
    def chunk(self) -> image_pb2.ImageChunk:
        """The chunk."""
        ...

    def HasField(self, field_name: str) -> bool:  # type: ignore[misc,unused-ignore]
        """Which of them it is."""
        ...


@dataclass(frozen=True)
class Bounds:
    """How much an upload may be: bytes of an encoded image, bytes of bare pixels, and seconds on the way."""

    bytes: int
    raw_bytes: int
    seconds: float


@dataclass(frozen=True)
class Upload(Generic[SpecT]):
    """A spec and the image that came with it, whole but not yet looked at."""

    spec: SpecT
    image: Callable[[], Image]
    """Its bytes and what the sender said about them. Checks the hash, so for a thread; raises ImageInvalid."""


async def receive(
    requests: AsyncIterator[Request[SpecT]],
    check: Callable[[SpecT], object],
    bounds: Bounds,
    hold: Callable[[int], None],
) -> Upload[SpecT]:
    """Reads spec and image. `check` sees the spec before the image is read; `hold` hears of every byte before it is kept.

    Raises InvalidArgument when there is no spec, no image or two, ImageTooLarge while bytes arrive, DeadlineExceeded when
    they take too long, and what `check` and `hold` raise.
    """
    try:
        async with asyncio.timeout(bounds.seconds):
            return await read(requests, check, bounds, hold)
    except TimeoutError:
        raise DeadlineExceeded(f"the image did not arrive within {bounds.seconds:g} seconds") from None
    except ImajinError:
        await discard(requests)
        raise


async def discard(requests: AsyncIterator[Request[SpecT]]) -> None:
    """Reads on for a little, so that the client is through with sending when the error reaches it.

    A Python client whose write fails because the call has ended reports that failure in place of the status that the
    call ended with (https://github.com/grpc/grpc/issues/36066).
    """
    left = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                try:
                    left -= len((await anext(requests)).chunk.data)
                except StopAsyncIteration:
                    return
                except InvalidArgument:
                    # Of a message that is thrown away anyhow.
                    left -= LINGER_MESSAGE


async def read(
    requests: AsyncIterator[Request[SpecT]],
    check: Callable[[SpecT], object],
    bounds: Bounds,
    hold: Callable[[int], None],
) -> Upload[SpecT]:
    """Reads spec and image."""
    spec: SpecT | None = None
    assembly: Assembly | None = None
    inline = b""
    async for request in requests:
        if request.HasField("spec"):
            if spec is not None:
                raise InvalidArgument.field("spec", "comes once, first")
            spec = request.spec
            inline = spec.image_data
            hold(len(inline))
            check(spec)
            continue
        if spec is None:
            raise InvalidArgument.field("spec", "must be the first message")
        if inline:
            raise InvalidArgument.field("image", "lies in spec.image_data or follows as chunks, not both")
        if assembly is None:
            raw = request.chunk.info.format == image_pb2.IMAGE_FORMAT_RAW_RGB8
            assembly = Assembly(bounds.raw_bytes if raw else bounds.bytes)
        hold(len(request.chunk.data))
        assembly.add(request.chunk)
    if spec is None:
        raise InvalidArgument.field("spec", "must be the first message")
    if assembly is not None:
        return Upload(spec, assembly.result)
    if not inline:
        raise InvalidArgument.field("image", "is missing: put it in spec.image_data or send chunks")
    if len(inline) > bounds.bytes:
        raise ImageTooLarge.over("bytes", bounds.bytes, len(inline))
    small = Image(image_pb2.ImageInfo(size_bytes=len(inline)), inline)
    return Upload(spec, lambda: small)
