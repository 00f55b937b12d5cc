"""What a client sends: a spec, then the image in it or in chunks after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic

from imajin.common.v1 import image_pb2
from imajin_servers.processing.decode import Source, inspect, inspect_raw
from imajin_servers.processing.settings import Limits
from imajin_servers.processing.work import Reserve
from imajin_servers.runtime import uploads
from imajin_servers.runtime.images import Image
from imajin_servers.runtime.uploads import Request, Spec, SpecT

__all__ = ["Request", "Spec", "SpecT", "Upload", "receive"]


@dataclass(frozen=True)
class Upload(Generic[SpecT]):
    """A spec and the image that came with it, whole but not yet looked at."""

    spec: SpecT
    whole: Callable[[], Source]
    """Checks hash, kind and limits of the image; for a thread."""


async def receive(
    requests: AsyncIterator[Request[SpecT]],
    check: Callable[[SpecT], object],
    limits: Limits,
    reserve: Reserve,
    seconds: float,
) -> Upload[SpecT]:
    """Reads spec and image. `check` sees the spec before the image is read.

    Raises InvalidArgument when there is no spec, no image or two, ImageTooLarge and QueueFull while bytes arrive, and
    DeadlineExceeded after `seconds`.
    """
    bounds = uploads.Bounds(limits.bytes, limits.raw_bytes, seconds)
    upload = await uploads.receive(requests, check, bounds, reserve.hold)
    return Upload(upload.spec, lambda: looked_at(upload.image(), limits))


def looked_at(image: Image, limits: Limits) -> Source:
    """The image, checked without decoding it."""
    if image.info.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
        return inspect_raw(image.data, image.info.width, image.info.height, limits)
    return inspect(image.data, limits)
