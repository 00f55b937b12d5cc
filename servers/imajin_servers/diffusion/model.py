"""A model of the registry in a running server: loaded when it is needed, unloaded when its room is asked back."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
import torch

from imajin_servers.diffusion import loading
from imajin_servers.diffusion.card import Card
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.line import Line
from imajin_servers.diffusion.pipelines import Stepwise, Whole, wrap
from imajin_servers.diffusion.previews import Previewer
from imajin_servers.diffusion.projection import Projection
from imajin_servers.diffusion.settings import DiffusionSettings, ModelEntry
from imajin_servers.diffusion.settled import settled
from imajin_servers.runtime.errors import ImajinError, Internal, LeaseLost
from imajin_servers.runtime.leases import HeldLease

T = TypeVar("T")
log = structlog.get_logger()


@dataclass
class Loaded:
    """A pipeline in memory, with what drives it. Families that go step by step have an engine and previews."""

    pipeline: Stepwise | Whole
    engine: Engine | None
    previewer: Previewer | None


class Threads:
    """One thread for each part of a pipeline: tokenizers and modules are used from one thread only, and no part waits for another."""

    def __init__(self, name: str) -> None:
        self.encoder = ThreadPoolExecutor(1, f"encoder {name}")
        self.decoder = ThreadPoolExecutor(1, f"decoder {name}")
        self.previews = ThreadPoolExecutor(1, f"previews {name}", initializer=step_back)

    def close(self) -> None:
        """Waits for what runs."""
        for executor in (self.encoder, self.decoder, self.previews):
            executor.shutdown(wait=True, cancel_futures=True)


def step_back() -> None:
    """Lets the other threads go first where cores are scarce. Linux keeps a priority for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


class Model:
    """One entry of the registry. Use it in the event loop."""

    def __init__(self, entry: ModelEntry, settings: DiffusionSettings, card: Card, device: torch.device) -> None:
        self.entry = entry
        self.settings = settings
        self.card = card
        self.device = device
        self.holder = f"diffusion/{entry.name}"
        self.weight_bytes = loading.known_weight_bytes(entry, device)
        self.schedulers = loading.known_schedulers(entry)
        """Names of those that fit; None while that isn't known."""
        self.line = Line(settings.max_active, settings.max_queue, settings.ageing_seconds)
        self.threads = Threads(entry.name)
        self.loaded: Loaded | None = None
        self.projection: Projection | None = None
        """What previews are made with, kept when the model is unloaded."""
        self.lease: HeldLease | None = None
        self.loader: asyncio.Task[Loaded] | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.users: dict[Feed, Callable[[ImajinError], None]] = {}
        """Feeds of the generations that need the model, each with what makes its denoising stop."""
        self.open = asyncio.Event()
        self.open.set()
        self.working = 0
        self.calm = asyncio.Event()
        self.calm.set()

    @asynccontextmanager
    async def in_use(self, feed: Feed, priority: int) -> AsyncIterator[Loaded]:
        """The model in memory, for the length of a block. Raises what loading and leasing raise."""
        self.users[feed] = lambda error: None
        try:
            yield await self.ready(priority)
        finally:
            del self.users[feed]
            if not self.users and self.loader is not None:
                # Whoever comes next starts a load of its own, while this one still cleans up.
                loader, self.loader = self.loader, None
                loader.cancel()

    async def ready(self, priority: int) -> Loaded:
        """Loads the model unless it is there. Whoever comes meanwhile waits for the same load."""
        if self.loaded is not None:
            return self.loaded
        if self.loader is None:
            self.loader = asyncio.create_task(self.load(priority))
            self.loader.add_done_callback(self.load_ended)
        return await asyncio.shield(self.loader)

    def load_ended(self, loader: asyncio.Task[Loaded]) -> None:
        """The next load starts afresh."""
        if self.loader is loader:
            self.loader = None
        if not loader.cancelled():
            loader.exception()

    async def load(self, priority: int) -> Loaded:
        """Leases the room, then reads the weights in a thread."""
        loop = asyncio.get_running_loop()
        path = await asyncio.to_thread(loading.directory, self.entry)
        sizes = loading.weight_bytes(path, self.entry.variant, loading.dtype(self.entry, self.device))
        self.weight_bytes = sum(sizes.values())
        lease = await self.card.acquire(self.weight_bytes, self.holder, priority, self.tell_waiting, preemptible=True)

        def told(loaded: int, total: int) -> None:
            loop.call_soon_threadsafe(self.tell_loading, loaded, total)

        try:
            read = loop.run_in_executor(self.threads.encoder, loading.load, self.entry, path, self.device, told)
            pipe = await settled(read)
        except BaseException:
            if lease is not None:
                await lease.release()
            raise
        self.loaded, self.lease = self.driven(pipe), lease
        self.schedulers = self.loaded.pipeline.schedulers
        log.info("model loaded", model=self.entry.name, bytes=self.weight_bytes, device=str(self.device))
        if lease is not None:
            self.keeper = asyncio.create_task(self.keep(lease))
            self.keeper.add_done_callback(self.keeper_ended)
        return self.loaded

    def driven(self, pipe: Any) -> Loaded:
        """`pipe` with what drives it."""
        pipeline = wrap(pipe, self.entry.scheduler)
        if isinstance(pipeline, Whole):
            return Loaded(pipeline, None, None)
        engine = Engine(
            self.entry.name, pipeline, max_batch=self.settings.max_batch, ageing=self.settings.ageing_seconds
        )
        return Loaded(pipeline, engine, Previewer(pipeline, self.settings.previews, self.projection))

    async def stage(
        self, executor: Executor, work: Callable[..., T], *args: Any, stop: Callable[[], None] | None = None
    ) -> T:
        """`work` in a thread that uses the weights: not while the model is off the card. `stop` is called when cancelled."""
        await self.open.wait()
        self.working += 1
        self.calm.clear()
        try:
            return await settled(asyncio.get_running_loop().run_in_executor(executor, work, *args), stop)
        finally:
            self.working -= 1
            if not self.working:
                self.calm.set()

    async def keep(self, lease: HeldLease) -> None:
        """Watches the lease of the weights: when it is asked back the model leaves the card, and comes back for whom it has."""
        while True:
            await first(lease.revoked, lease.lost)
            loaded = self.loaded
            if loaded is None:
                return
            self.open.clear()
            if loaded.engine is not None:
                await asyncio.to_thread(loaded.engine.pause)
            try:
                async with asyncio.timeout(max(lease.seconds_to_revoke() - 0.5, 0.0)):
                    await first(self.calm, lease.lost)
            except TimeoutError:
                self.stop_all(
                    LeaseLost("the card was needed for something more urgent", metadata={"model": self.entry.name})
                )
                await self.calm.wait()
            if lease.lost.is_set():
                self.stop_all(LeaseLost("the lease of the model was lost", metadata={"model": self.entry.name}))
            if not self.users or loaded.engine is None:
                await self.unload()
                self.open.set()
                return
            await asyncio.to_thread(loaded.engine.move, torch.device("cpu"))
            await self.release()
            log.info("model paused", model=self.entry.name, generations=len(self.users))
            try:
                back = await self.card.acquire(self.weight_bytes, self.holder, 50, self.tell_waiting, preemptible=True)
                await asyncio.to_thread(loaded.engine.move, self.device)
            except ImajinError as error:
                self.stop_all(error)
                await self.unload()
                self.open.set()
                return
            self.lease = back
            loaded.engine.resume()
            self.open.set()
            if back is None:
                return
            lease = back

    def keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        """Nobody may wait for a model that nobody brings back."""
        if keeper.cancelled() or (error := keeper.exception()) is None:
            return
        log.error("the keeper of a model failed", model=self.entry.name, exc_info=error)
        self.stop_all(Internal("the model could not be brought back"))
        if self.loaded is not None and self.loaded.engine is not None:
            self.loaded.engine.resume()
        self.open.set()

    def stop_all(self, error: ImajinError) -> None:
        """Ends the denoising of every generation with `error`."""
        for stop in list(self.users.values()):
            stop(error)

    def tell_waiting(self, position: int, requested: int, available: int) -> None:
        """Everybody who needs the model hears that it waits for room."""
        for feed in self.users:
            feed.waiting_for_vram(position, requested, available)

    def tell_loading(self, loaded: int, total: int) -> None:
        """Everybody who needs the model hears how far loading is."""
        for feed in self.users:
            feed.loading(self.entry.name, loaded, total)

    async def release(self) -> None:
        """Gives the room back."""
        lease, self.lease = self.lease, None
        if lease is not None:
            await lease.release()

    async def unload(self) -> None:
        """Takes the model out of memory and gives the room back."""
        loaded, self.loaded = self.loaded, None
        lease, self.lease = self.lease, None
        if loaded is not None and loaded.previewer is not None:
            self.projection = loaded.previewer.projection
        if loaded is not None and loaded.engine is not None:
            await asyncio.to_thread(loaded.engine.close)
        del loaded
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if lease is not None:
            await lease.release()
        log.info("model unloaded", model=self.entry.name)

    async def close(self) -> None:
        """Ends everything."""
        for task in (self.loader, self.keeper):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        if self.loaded is not None:
            await self.unload()
        await asyncio.to_thread(self.threads.close)


async def first(*events: asyncio.Event) -> None:
    """Waits until one of `events` is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
