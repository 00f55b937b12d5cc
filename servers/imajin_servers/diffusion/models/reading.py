"""A model's files into memory: what the thread of a model does before anything is drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import torch

from imajin_servers.diffusion import metrics, streams
from imajin_servers.diffusion.models import loading
from imajin_servers.diffusion.models.device import free_bytes, swept
from imajin_servers.diffusion.models.speed import hasten
from imajin_servers.diffusion.models.threads import Threads
from imajin_servers.diffusion.pipelines import Stepwise, Whole, wrap
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.diffusion.settled import settled
from imajin_servers.runtime.errors import GpuOutOfMemory


async def read(
    entry: ModelEntry, path: Path, threads: Threads, bytes: int, on_bytes: Callable[[int, int], None]
) -> Stepwise | Whole:
    """The pipeline in `path`, ready to draw; `on_bytes` hears how many bytes of how many are there. Leaves nothing on the device where it fails.

    Raises ModelNotFound, and GpuOutOfMemory where its `bytes` are not to be had.
    """
    loop = asyncio.get_running_loop()

    def told(loaded: int, total: int) -> None:
        loop.call_soon_threadsafe(on_bytes, loaded, total)

    def work() -> Stepwise | Whole:
        pipe = loading.load(entry, path, threads.device, told)
        hasten(pipe, entry)
        try:
            return wrap(pipe, entry.scheduler)
        except ValueError as error:
            raise loading.unloadable(entry, error) from error

    try:
        with metrics.LOADS.labels(entry.name).time():
            return await settled(loop.run_in_executor(threads.encoder, streams.dry(threads.device, work)))
    except BaseException as error:
        await asyncio.to_thread(swept, threads.device)
        if isinstance(error, torch.OutOfMemoryError):
            raise GpuOutOfMemory.of(bytes, free_bytes(threads.device) or 0) from error
        raise
