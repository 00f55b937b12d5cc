"""A model off its device, back to it, and gone for good: what a thread does, that leaves no memory behind."""

from __future__ import annotations

import torch

from imajin_servers.diffusion.emptied import emptied
from imajin_servers.diffusion.models.device import free_bytes, swept
from imajin_servers.diffusion.models.loaded import Loaded
from imajin_servers.runtime.errors import GpuOutOfMemory


def put_out(held: list[Loaded], device: torch.device) -> None:
    """Closes what is in `held`, and frees it. Blocking.

    In one thread, out of a list: the thread that closed it would hold it for a moment longer, in which another one sweeps.
    """
    while held:
        held.pop().close()
    swept(device)


def moved_away(loaded: Loaded, device: torch.device) -> None:
    """Takes a model off `device`, which has its memory back then. Blocking."""
    loaded.move(torch.device("cpu"))
    swept(device)


def moved_back(loaded: Loaded, device: torch.device, bytes: int) -> None:
    """Takes a model of `bytes` to `device`. Raises GpuOutOfMemory where somebody took what was leased. Blocking."""
    try:
        loaded.move(device)
    except torch.OutOfMemoryError as error:
        missing = GpuOutOfMemory.of(bytes, free_bytes(device) or 0)
        emptied(error)
        # Those who are told of it may hold the model for a while yet; half of it must not stay on the card with them.
        moved_away(loaded, device)
        raise missing from error
