"""When a model is in memory: loaded for who needs it, off the card while its room is asked back, unloaded when nobody does."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog

from imajin_servers.diffusion import metrics
from imajin_servers.diffusion.emptied import emptied
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.models import loading
from imajin_servers.diffusion.models.card import Card
from imajin_servers.diffusion.models.loaded import Loaded
from imajin_servers.diffusion.models.moving import moved_away, moved_back, put_out
from imajin_servers.diffusion.models.reading import read
from imajin_servers.diffusion.models.rooms import Rooms, first
from imajin_servers.diffusion.models.shelf import Shelf
from imajin_servers.diffusion.models.threads import Threads
from imajin_servers.diffusion.models.users import Users
from imajin_servers.diffusion.pipelines import Stepwise, Whole
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.runtime.errors import ImajinError, Internal, LeaseLost
from imajin_servers.runtime.leases import HeldLease

DRAINING = "DRAINING"
"""Why a vram server that shuts down asks its leases back: those of the rooms too."""

log = structlog.get_logger()


class Residency:
    """The coming and going of one model's weights, which `driven` makes ready for use. Use it in the event loop."""

    def __init__(
        self,
        entry: ModelEntry,
        card: Card,
        shelf: Shelf,
        threads: Threads,
        users: Users,
        driven: Callable[[Stepwise | Whole], Loaded],
    ) -> None:
        self.entry = entry
        self.card = card
        self.shelf = shelf
        self.threads = threads
        self.users = users
        self.driven = driven
        self.device = threads.device
        self.holder = f"diffusion/{entry.name}"
        self.weight_bytes = loading.known_weight_bytes(entry, self.device)
        self.loaded: Loaded | None = None
        self.lease: HeldLease | None = None
        self.loader: asyncio.Task[Loaded] | None = None
        self.keeper: asyncio.Task[None] | None = None
        self.last_used = 0.0
        self.coming = False
        """Whether its weights are being read, its room being taken."""
        self.group = secrets.token_hex(8)
        """Of the leases of the weights and of what is drawn with them."""
        self.rooms = Rooms(card, self.device, self.holder, self.group, threads.open)
        self.turnover = asyncio.Lock()
        """Held while weights come in or go out."""

    @asynccontextmanager
    async def in_use(self, feed: Feed, priority: int) -> AsyncIterator[Loaded]:
        """The model in memory, for the length of a block. Raises what loading and leasing raise."""
        await self.shelf.pass_by()
        self.users.enter(feed, priority)
        self.tell_idle()
        try:
            yield await self.ready(priority)
        finally:
            self.users.leave(feed)
            if not self.users and self.loader is not None:
                # Whoever comes next starts a load of its own, while this one still cleans up.
                loader, self.loader = self.loader, None
                loader.cancel()
            self.last_used = time.monotonic()
            self.tell_idle()
            self.shelf.stir()

    def tell_idle(self) -> None:
        """Tells the vram server whether anybody needs the weights."""
        if self.lease is not None:
            self.lease.report_idle(not self.users)

    def tell_loading(self, lease: HeldLease | None, loaded: int, total: int) -> None:
        """Tells users and the vram server how far loading is, in bytes."""
        self.users.tell_loading(loaded, total)
        if lease is not None:
            lease.report_used(min(loaded, lease.bytes), at_once=False)

    async def tell_there(self) -> None:
        """Tells the vram server that the weights are on the card, with what is drawn, and whether anybody needs them."""
        if self.lease is not None:
            self.card.usage.weights.add(self.lease)
            self.lease.report_used(self.weight_bytes)
        self.tell_idle()
        await self.rooms.tell()

    @property
    def idle(self) -> bool:
        """Whether it is in memory and nobody needs it."""
        threads = self.threads
        return self.loaded is not None and not self.users and not threads.working and threads.open.is_set()

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
        path, self.weight_bytes = await asyncio.to_thread(loading.located, self.entry, self.device)
        async with self.turnover:
            await self.shelf.room_for(self, lambda need, there: self.users.tell_waiting(1, need, there))
            self.coming = True
            try:
                lease = await self.card.acquire(
                    self.weight_bytes,
                    self.holder,
                    priority,
                    self.users.tell_waiting,
                    group=self.group,
                    preemptible=True,
                )
                try:
                    pipeline = await read(
                        self.entry, path, self.threads, self.weight_bytes, partial(self.tell_loading, lease)
                    )
                except BaseException:
                    if lease is not None:
                        await lease.release()
                    raise
            finally:
                self.coming = False
                self.shelf.stir()
            self.loaded, self.lease = self.driven(pipeline), lease
        self.last_used = time.monotonic()
        metrics.LOADED.labels(self.entry.name).set(self.weight_bytes)
        log.info("model loaded", model=self.entry.name, bytes=self.weight_bytes, device=str(self.device))
        await self.tell_there()
        self.keeper = asyncio.create_task(self.keep())
        self.keeper.add_done_callback(self.keeper_ended)
        return self.loaded

    async def keep(self) -> None:
        """Watches the leases: when that of the weights is asked back, or one is lost, the model leaves the card; it comes back for whom
        it has.
        """
        there = True
        while there:
            # Nothing here may hold the model while it waits: it may be unloaded meanwhile.
            lease = self.lease
            await first(self.rooms.lost, *(() if lease is None else (lease.revoked, lease.lost)))
            there = await self.make_way()

    async def make_way(self) -> bool:
        """Takes the model off the card, and back where it has users; whether it is in memory then."""
        loaded, lease = self.loaded, self.lease
        if loaded is None:
            return False
        self.threads.open.clear()
        await self.rooms.withdraw()
        await self.stop_working(loaded, lease)
        if not self.users:
            del loaded  # or its weights would still be there when their room is given back
            await self.unload()
            self.threads.open.set()
            return False
        await asyncio.to_thread(moved_away, loaded, self.device)
        if self.rooms.lost.is_set() or (lease is not None and (lease.lost.is_set() or lease.revoke_reason == DRAINING)):
            # What is left of the old group at the vram server must not stand in the way of the new one.
            self.group = secrets.token_hex(8)
        await self.rooms.surrender(self.group)
        await self.release()
        metrics.PAUSES.labels(self.entry.name).inc()
        log.info("model paused", model=self.entry.name, generations=len(self.users))
        try:
            await self.leased_again()
            await asyncio.to_thread(moved_back, loaded, self.device, self.weight_bytes)
        except ImajinError as error:
            self.users.stop_all(emptied(error))
            del loaded
            await self.unload()
            self.threads.open.set()
            return False
        await self.tell_there()
        loaded.resume()
        self.threads.open.set()
        return True

    async def leased_again(self) -> None:
        """Returns when the weights, and whatever is drawn with them, have their room again. Raises what leases raise."""
        while True:
            self.lease = await self.card.acquire(
                self.weight_bytes,
                self.holder,
                self.users.priority,
                self.users.tell_waiting,
                group=self.group,
                preemptible=True,
            )
            if await self.rooms.regained(self.lease):
                return
            await self.rooms.surrender(self.group)
            await self.release()

    async def stop_working(self, loaded: Loaded, lease: HeldLease | None) -> None:
        """Returns when no thread uses the weights. What isn't at a place to stand still when they must be gone is stopped."""
        await asyncio.to_thread(loaded.pause)
        try:
            async with asyncio.timeout(None if lease is None else max(lease.seconds_to_revoke() - 0.5, 0.0)):
                await self.threads.calm.wait()
        except TimeoutError:
            self.users.stop_all(
                LeaseLost("the card was needed for something more urgent", metadata={"model": self.entry.name})
            )
            await self.threads.calm.wait()

    def keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        """Nobody may wait for a model that nobody brings back."""
        if keeper.cancelled() or (error := keeper.exception()) is None:
            return
        log.error("the keeper of a model failed", model=self.entry.name, exc_info=error)
        self.users.stop_all(Internal("the model could not be brought back"))
        # Part of it may be on the card and part of it not: whoever comes next loads it anew.
        self.keeper = asyncio.create_task(self.unload())
        self.threads.open.set()

    async def release(self) -> None:
        """Gives the room back."""
        lease, self.lease = self.lease, None
        if lease is not None:
            await lease.release()

    async def unload(self) -> None:
        """Takes the model out of memory and gives the room back."""
        held = [] if self.loaded is None else [self.loaded]
        self.loaded = None
        lease, self.lease = self.lease, None
        async with self.turnover:
            await asyncio.to_thread(put_out, held, self.device)
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
