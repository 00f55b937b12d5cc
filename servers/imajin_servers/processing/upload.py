"""What a client sends: a spec, then the image in it or in chunks after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic

from imajin_servers.processing.work import Reserve
from imajin_servers.runtime import uploads
from imajin_servers.runtime.decoding.decode import Source, looked_at
from imajin_servers.runtime.decoding.limits import Limits
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
