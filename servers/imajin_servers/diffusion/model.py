"""A model of the registry in a running server: loaded when it is needed, unloaded when its room is asked back."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
import torch

from imajin_servers.diffusion import loading, memory, metrics, streams
from imajin_servers.diffusion.card import Card
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.line import Line
from imajin_servers.diffusion.orders import LoraWeight, Order
from imajin_servers.diffusion.peaks import Peaks, free_bytes, meter
from imajin_servers.diffusion.pipelines import Run, Stepwise, Whole, wrap
from imajin_servers.diffusion.previews import Previewer
from imajin_servers.diffusion.projection import Projection
from imajin_servers.diffusion.settings import DiffusionSettings, ModelEntry
from imajin_servers.diffusion.settled import settled
from imajin_servers.diffusion.shelf import Shelf
from imajin_servers.diffusion.speed import hasten
from imajin_servers.runtime.errors import GpuOutOfMemory, ImajinError, Internal, LeaseLost
from imajin_servers.runtime.leases import HeldLease

T = TypeVar("T")
log = structlog.get_logger()


@dataclass
class Loaded:
    """A pipeline in memory, with what drives it. Families that go step by step have an engine and previews."""

    pipeline: Stepwise | Whole
    engine: Engine | None
    previewer: Previewer | None

    def move(self, device: torch.device) -> None:
        """Takes the weights to `device`, and what the engine holds. Only while nobody uses them."""
        (self.pipeline if self.engine is None else self.engine).move(device)


class Threads:
    """One thread for each part of a pipeline: tokenizers and modules are used from one thread only, and no part waits for another."""

    def __init__(self, name: str, device: torch.device) -> None:
        self.encoder = ThreadPoolExecutor(1, f"encoder {name}", streams.own, (device,))
        self.decoder = ThreadPoolExecutor(1, f"decoder {name}", streams.own, (device,))
        self.previews = ThreadPoolExecutor(1, f"previews {name}", step_back, (device,))
        self.all = (self.encoder, self.decoder, self.previews)

    def close(self) -> None:
        """Waits for what runs."""
        for executor in self.all:
            executor.shutdown(wait=True, cancel_futures=True)


def step_back(device: torch.device) -> None:
    """Gives the calling thread a stream of its own, and lets the other threads go first where cores are scarce. Linux keeps a priority for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
    streams.own(device)


class Model:
    """One entry of the registry. Use it in the event loop."""

    def __init__(
        self, entry: ModelEntry, settings: DiffusionSettings, card: Card, device: torch.device, shelf: Shelf
    ) -> None:
        self.entry = entry
        self.settings = settings
        self.card = card
        self.shelf = shelf
        self.device = device
        self.holder = f"diffusion/{entry.name}"
        self.weight_bytes = loading.known_weight_bytes(entry, device)
        self.edits = loading.known_edits(entry)
        """Whether it draws from images; None while that isn't known."""
        self.schedulers = loading.known_schedulers(entry)
        """Names of those that fit; None while that isn't known."""
        self.peaks = Peaks(meter(device))
        self.line = Line(settings.max_active, settings.max_queue, settings.ageing_seconds)
        line = self.line
        metrics.QUEUE.labels(entry.name).set_function(lambda: len(line.waiting))
        metrics.ACTIVE.labels(entry.name).set_function(lambda: line.taken)
        self.threads = Threads(entry.name, device)
        self.turns: dict[Executor, asyncio.Lock] = {executor: asyncio.Lock() for executor in self.threads.all}
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
        self.last_used = 0.0
        self.coming = False
        """Whether its weights are being read, its room being taken."""
        self.ways: set[asyncio.Task[None]] = set()
        self.turnover = asyncio.Lock()
        """Held while weights come in or go out."""
        self.working = 0
        self.calm = asyncio.Event()
        self.calm.set()

    @asynccontextmanager
    async def in_use(self, feed: Feed, priority: int) -> AsyncIterator[Loaded]:
        """The model in memory, for the length of a block. Raises what loading and leasing raise."""
        await self.shelf.pass_by()
        self.users[feed] = lambda error: None
        try:
            yield await self.ready(priority)
        finally:
            del self.users[feed]
            if not self.users and self.loader is not None:
                # Whoever comes next starts a load of its own, while this one still cleans up.
                loader, self.loader = self.loader, None
                loader.cancel()
            self.last_used = time.monotonic()
            self.shelf.stir()

    @property
    def idle(self) -> bool:
        """Whether it is in memory and nobody needs it."""
        return self.loaded is not None and not self.users and not self.working and self.open.is_set()

    @property
    def present(self) -> bool:
        """Whether it is in memory, or on its way there."""
        return self.loaded is not None or self.coming

    async def put_away(self) -> None:
        """Takes it out of memory, where it is idle."""
        if self.idle:
            if self.keeper is not None:
                self.keeper.cancel()
            await self.unload()

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
        """Makes room, leases it, then reads the weights in a thread. Raises GpuOutOfMemory and what leases raise."""
        path = await asyncio.to_thread(loading.directory, self.entry)
        sizes = loading.weight_bytes(path, self.entry.variant, loading.dtype(self.entry, self.device))
        self.weight_bytes = sum(sizes.values())
        async with self.turnover:
            await self.shelf.room_for(self, lambda need, there: self.tell_waiting(1, need, there))
            self.coming = True
            try:
                lease = await self.card.acquire(
                    self.weight_bytes, self.holder, priority, self.make_way, preemptible=True
                )
                pipe = await self.read(path, lease)
            finally:
                self.coming = False
                self.shelf.stir()
            self.loaded, self.lease = self.driven(pipe), lease
        self.schedulers, self.edits = self.loaded.pipeline.schedulers, self.loaded.pipeline.edits
        self.last_used = time.monotonic()
        metrics.LOADED.labels(self.entry.name).set(self.weight_bytes)
        log.info("model loaded", model=self.entry.name, bytes=self.weight_bytes, device=str(self.device))
        if lease is not None:
            self.keeper = asyncio.create_task(self.keep(lease))
            self.keeper.add_done_callback(self.keeper_ended)
        return self.loaded

    async def read(self, path: Path, lease: HeldLease | None) -> Any:
        """The pipeline in `path`, in memory. The lease goes with a failure. Raises GpuOutOfMemory, ModelNotFound."""
        loop = asyncio.get_running_loop()

        def told(loaded: int, total: int) -> None:
            loop.call_soon_threadsafe(self.tell_loading, loaded, total)

        work = streams.dry(self.device, loading.load)
        try:
            with metrics.LOADS.labels(self.entry.name).time():
                return await settled(
                    loop.run_in_executor(self.threads.encoder, work, self.entry, path, self.device, told)
                )
        except BaseException as error:
            if lease is not None:
                await lease.release()
            if isinstance(error, torch.OutOfMemoryError):
                raise GpuOutOfMemory.of(self.weight_bytes, free_bytes(self.device) or 0) from error
            raise

    def make_way(self, position: int, requested: int, available: int) -> None:
        """Tells that it waits for room, and lets idle models of this server make it."""
        self.tell_waiting(position, requested, available)
        self.give_way(position, requested - available)

    def give_way(self, position: int, missing: int) -> None:
        """Whoever is first in line for room needs `missing` bytes more: idle models of this server go for it."""
        if position == 1:
            way = asyncio.create_task(self.shelf.make_way(self, missing))
            self.ways.add(way)
            way.add_done_callback(self.ways.discard)

    def driven(self, pipe: Any) -> Loaded:
        """`pipe` with what drives it."""
        hasten(pipe, self.entry)
        pipeline = wrap(pipe, self.entry.scheduler)
        if isinstance(pipeline, Whole):
            return Loaded(pipeline, None, None)
        engine = Engine(
            self.entry.name,
            pipeline,
            max_batch=self.settings.max_batch,
            ageing=self.settings.ageing_seconds,
            around=self.around,
        )
        return Loaded(pipeline, engine, Previewer(pipeline, self.settings.previews, self.projection))

    async def bring(self, pipeline: Stepwise | Whole, loras: Sequence[LoraWeight]) -> None:
        """Puts adapters in beside the weights. Raises NotFound where one can't be had."""

        def work() -> None:
            entries = {entry.name: entry for entry in self.settings.loras}
            files = {lora.name: loading.lora_file(entries[lora.name]) for lora in loras}
            pipeline.adapters.load(loras, files, self.settings.max_loras)

        await self.stage(self.threads.encoder, work)

    @contextmanager
    def around(self, runs: Sequence[Run]) -> Iterator[None]:
        """Takes note of a pass: its time, and the memory that it took. In the engine's thread."""
        order, loaded = runs[0].order, self.loaded
        began = time.perf_counter()
        if loaded is None:
            yield
            return
        width, height = loaded.pipeline.drawn_size(order)
        with self.peaks.denoising(width, height, len(runs) * loaded.pipeline.pass_rows(order)):
            yield
        metrics.stepped(self.entry.name, len(runs), width, height, time.perf_counter() - began)

    def need(self, order: Order, pipeline: Stepwise | Whole) -> int:
        """Bytes that drawing `order` takes beside the weights: as measured before, else estimated."""
        width, height = pipeline.drawn_size(order)
        rows = pipeline.pass_rows(order)
        adapters = sum(loading.lora_bytes(entry) for entry in self.settings.loras if entry.name in order.adapters)
        return adapters + (self.peaks.need(width, height, rows) or memory.estimate(pipeline.pipe, width, height, rows))

    async def stage(
        self, executor: Executor, work: Callable[..., T], *args: Any, stop: Callable[[], None] | None = None
    ) -> T:
        """`work` in a thread that uses the weights: not while the model is off the card. `stop` is called when cancelled."""
        # What waits for its thread doesn't count as working: the one before it may stand still for a long time.
        async with self.turns[executor]:
            await self.open.wait()
            self.count(1)
            try:
                dried = streams.dry(self.device, work)
                return await settled(asyncio.get_running_loop().run_in_executor(executor, dried, *args), stop)
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
            if not self.users:
                await self.unload()
                self.open.set()
                return
            await asyncio.to_thread(loaded.move, torch.device("cpu"))
            await self.release()
            metrics.PAUSES.labels(self.entry.name).inc()
            log.info("model paused", model=self.entry.name, generations=len(self.users))
            try:
                back = await self.card.acquire(self.weight_bytes, self.holder, 50, self.make_way, preemptible=True)
                await asyncio.to_thread(loaded.move, self.device)
            except ImajinError as error:
                self.stop_all(error)
                await self.unload()
                self.open.set()
                return
            self.lease = back
            if loaded.engine is not None:
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
        async with self.turnover:
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
        metrics.LOADED.labels(self.entry.name).set(0)
        self.shelf.stir()
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
