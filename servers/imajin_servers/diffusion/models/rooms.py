"""Room on the card for what is drawn with a model, beside its weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import torch

from imajin_servers.diffusion.models.card import Card
from imajin_servers.diffusion.models.device import reserved_bytes, unreserved
from imajin_servers.diffusion.models.room import Room
from imajin_servers.runtime.errors import ImajinError
from imajin_servers.runtime.leases import HeldLease, OnWaiting


class Rooms:
    """Leases of the group `group` beside the weights of that group, while `open` is set. Use it in the event loop."""

    def __init__(self, card: Card, device: torch.device, holder: str, group: str, open: asyncio.Event) -> None:
        self.card = card
        self.device = device
        self.holder = f"{holder} work"
        self.group = group
        self.open = open
        self.asking: set[asyncio.Task[HeldLease | None]] = set()
        self.regaining: asyncio.Task[HeldLease | None] | None = None
        """Asks for all rooms that were given back."""
        self.taken: set[Room] = set()
        self.fitting = asyncio.Lock()
        """Held while a lease is made as large as its rooms: several may end at once."""
        self.lost = asyncio.Event()
        """Set when the lease of a room that is in use is lost: what is drawn there has to leave the card."""

    @asynccontextmanager
    async def room(self, bytes: int, priority: int, on_waiting: OnWaiting) -> AsyncIterator[None]:
        """`bytes`, for the length of a block. Raises GpuOutOfMemory and what else leases raise, in the middle of the block too."""
        room = Room(bytes, priority, on_waiting, self.lost.set)
        room.hold(await self.granted(room))
        self.taken.add(room)
        try:
            with room.given_up():
                yield
        finally:
            self.taken.discard(room)
            if not self.taken and self.regaining is not None:
                self.regaining.cancel()
            lease = room.let_go()
            if lease is not None:
                await self.leave(lease, bytes)
                await self.fit(lease)
            await self.tell()

    async def tell(self) -> None:
        """Tells the vram server what the drawings use by now."""
        self.card.usage.tell(await asyncio.to_thread(reserved_bytes, self.device))

    async def leave(self, lease: HeldLease, bytes: int) -> None:
        """Gives the driver what PyTorch keeps of `bytes` of `lease`, unless other drawings have a right to as much: they would have to
        ask for it again at their next step.
        """
        reserved = await asyncio.to_thread(reserved_bytes, self.device)
        if not self.card.usage.covers(reserved + bytes):
            await asyncio.to_thread(unreserved, self.device)

    async def fit(self, lease: HeldLease) -> None:
        """Gives back what no drawing has of `lease` any more."""
        async with self.fitting:
            needed = sum(room.bytes for room in self.taken if room.lease is lease)
            if needed:
                # Where it is lost, its drawings hear of that by themselves.
                with suppress(ImajinError):
                    await lease.resize(needed)
            else:
                await lease.release()

    async def granted(self, room: Room) -> HeldLease | None:
        """Waits for `room`; asks anew after each `withdraw`."""
        while True:
            await self.open.wait()
            asking = asyncio.create_task(self.ask(room.bytes, room.priority, room.on_waiting))
            self.asking.add(asking)
            try:
                return await outcome(asking)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            finally:
                self.asking.discard(asking)

    async def ask(self, bytes: int, priority: int, on_waiting: OnWaiting) -> HeldLease | None:
        """A lease of `bytes`."""
        lease = await self.card.acquire(bytes, self.holder, priority, on_waiting, group=self.group)
        if lease is not None:
            self.card.usage.drawings.add(lease)
        return lease

    async def withdraw(self) -> None:
        """Returns when nothing waits for room: what was granted while the weights are away could take the room that they come back to."""
        for asking in self.asking:
            asking.cancel()
        if self.asking:
            await asyncio.wait(self.asking)

    async def surrender(self, group: str) -> None:
        """Gives every room back. They are asked for again, as part of `group`, by `regain`."""
        self.group = group
        leases = {room.let_go() for room in self.taken}
        await asyncio.gather(*(lease.release() for lease in leases if lease is not None))

    async def regain(self) -> None:
        """Asks for the rooms that are no longer held, for all at once: models that have got a part would wait for each other.

        Where they can't be had, what is drawn in them ends with the reason.
        """
        self.lost.clear()
        missing = [room for room in self.taken if not room.held]
        if not missing:
            return

        def on_waiting(position: int, requested: int, available: int) -> None:
            for room in missing:
                room.on_waiting(position, requested, available)

        needed, priority = sum(room.bytes for room in missing), max(room.priority for room in missing)
        self.regaining = asyncio.create_task(self.ask(needed, priority, on_waiting))
        try:
            lease = await outcome(self.regaining)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody is left to draw.
            return
        except ImajinError as error:
            for room in missing:
                room.give_up(error)
            return
        finally:
            self.regaining = None
        for room in missing:
            if room in self.taken:
                room.hold(lease)
        if lease is not None:
            await self.fit(lease)

    async def regained(self, weights: HeldLease | None) -> bool:
        """Whether all rooms are back before the lease of the weights is asked back; where they are not, none of them waits any more."""
        events = [asyncio.Event()] if weights is None else [weights.revoked, weights.lost]
        regaining, ending = asyncio.create_task(self.regain()), asyncio.create_task(first(*events))
        try:
            await asyncio.wait({regaining, ending}, return_when=asyncio.FIRST_COMPLETED)
            return not ending.done()
        finally:
            for task in (regaining, ending):
                task.cancel()
            await asyncio.wait({regaining, ending})
            if not regaining.cancelled():
                regaining.result()


async def outcome(asking: asyncio.Task[HeldLease | None]) -> HeldLease | None:
    """What `asking` brings; who is cancelled just then gives it back."""
    try:
        return await asking
    except asyncio.CancelledError:
        if asking.done() and not asking.cancelled() and asking.exception() is None and (lease := asking.result()):
            await lease.release()
        raise


async def first(*events: asyncio.Event) -> None:
    """Waits until one of `events` is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
