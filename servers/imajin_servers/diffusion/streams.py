"""Lets encoding, denoising, decoding and previews overlap on a card: each thread queues its kernels on a stream of its own.

On one stream a step would wait for every decode that was queued before it. Streams don't wait for each other, so a thread lets its own
run dry before it hands a tensor on, and before it lets one go that another stream made. On a CPU all of this is nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch

from imajin_servers.diffusion.emptied import emptied

T = TypeVar("T")


def own(device: torch.device, *, first: bool = False) -> Any:
    """Gives the calling thread a stream of its own on `device`, which is returned; None on a CPU.

    `first` lets its kernels go before those of others.
    """
    # A new thread computes its first product with as many threads as there are cores, and so with other bits, until torch
    # is asked how many it may take.
    torch.get_num_threads()
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        kind: Any = torch.cuda.Stream
        stream = kind(device, priority=-1 if first else 0)
        torch.cuda.set_stream(stream)
        return stream
    return None


def within(stream: Any) -> AbstractContextManager[Any]:
    """Lets the calling thread queue its kernels on `stream` for the length of a block; None changes nothing."""
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def run_dry(device: torch.device) -> None:
    """Waits until the calling thread's stream on `device` has done its work."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def settle(device: torch.device) -> None:
    """Waits until all streams of `device` have done their work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def dry(device: torch.device, work: Callable[..., T], *args: Any) -> Callable[[], T]:
    """`work` of `args`, for one call, which returns when the card has done its part too.

    Both are let go of by then: a thread of an executor holds what it was given for a moment after the result is out, and a model that
    is unloaded in that moment would leave its memory in PyTorch's reserve.
    """
    once = [partial(work, *args)]

    def through() -> T:
        try:
            return once.pop()()
        except BaseException as error:
            emptied(error)
            raise
        finally:
            run_dry(device)

    return through
