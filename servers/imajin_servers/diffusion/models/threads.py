"""The threads in which a model's parts work, and which stand still while it is off the card."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import torch

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.settled import settled

T = TypeVar("T")


class Threads:
    """One thread for each part of a pipeline: tokenizers and modules are used from one thread only, and no part waits for another.

    Use it in the event loop.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.device = device
        self.encoder = ThreadPoolExecutor(1, f"encoder {name}", streams.own, (device,))
        self.decoder = ThreadPoolExecutor(1, f"decoder {name}", streams.own, (device,))
        self.previews = ThreadPoolExecutor(1, f"previews {name}", step_back, (device,))
        self.all = (self.encoder, self.decoder, self.previews)
        self.turns: dict[Executor, asyncio.Lock] = {executor: asyncio.Lock() for executor in self.all}
        self.open = asyncio.Event()
        """Set while the model is where it can be used."""
        self.open.set()
        self.working = 0
        self.calm = asyncio.Event()
        """Set while no thread uses the weights."""
        self.calm.set()

    async def work(
        self, executor: Executor, work: Callable[..., T], *args: Any, stop: Callable[[], None] | None = None
    ) -> T:
        """`work` in a thread that uses the weights: not while the model is off the card. `stop` is called when cancelled."""
        # What waits for its thread doesn't count as working: the one before it may stand still for a long time.
        async with self.turns[executor]:
            await self.open.wait()
            self.count(1)
            try:
                dried = streams.dry(self.device, work, *args)
                return await settled(asyncio.get_running_loop().run_in_executor(executor, dried), stop)
            finally:
                self.count(-1)

    def count(self, change: int) -> None:
        """More or fewer threads use the weights."""
        self.working += change
        if self.working > 0:
            self.calm.clear()
        else:
            self.calm.set()

    def stand(self, loop: asyncio.AbstractEventLoop, over: Callable[[], object]) -> None:
        """Stands still while the model is off the card, or until `over`. For work in a thread, at a moment when it uses no weights."""
        if self.open.is_set():
            return None
        standing = asyncio.run_coroutine_threadsafe(self.stood(), loop)
        while not over():
            with suppress(TimeoutError):
                return standing.result(0.05)
        standing.cancel()
        return None

    async def stood(self) -> None:
        """Doesn't count as working until the model is back."""
        self.count(-1)
        try:
            while not self.open.is_set():
                await self.open.wait()
        finally:
            self.count(1)

    def close(self) -> None:
        """Waits for what runs. Blocking."""
        for executor in self.all:
            executor.shutdown(wait=True, cancel_futures=True)


def step_back(device: torch.device) -> None:
    """Gives the calling thread a stream of its own, and, on Linux, lets the other threads go first where cores are scarce."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
    streams.own(device)
