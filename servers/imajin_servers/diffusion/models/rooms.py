"""Room on the card for what is drawn with a model, beside its weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
        self.taken: set[Room] = set()
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
            await room.asked()
            if room.lease is not None:
                await self.left(room.lease)
            await room.release()
            await self.tell()

    async def tell(self) -> None:
        """Tells the vram server what the drawings use by now."""
        self.card.usage.tell(await asyncio.to_thread(reserved_bytes, self.device))

    async def left(self, lease: HeldLease) -> None:
        """Gives the driver what PyTorch keeps of the room of `lease`, unless other drawings have a right to as much: they would have to
        ask for it again at their next step.
        """
        self.card.usage.drawings.discard(lease)
        if not self.card.usage.covers(await asyncio.to_thread(reserved_bytes, self.device)):
            await asyncio.to_thread(unreserved, self.device)

    async def granted(self, room: Room) -> HeldLease | None:
        """Waits for `room`; asks anew after each `withdraw`."""
        while True:
            await self.open.wait()
            asking = asyncio.create_task(self.ask(room))
            self.asking.add(asking)
            try:
                return await asking
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            finally:
                self.asking.discard(asking)

    async def ask(self, room: Room) -> HeldLease | None:
        """A lease for `room`."""
        lease = await self.card.acquire(room.bytes, self.holder, room.priority, room.on_waiting, group=self.group)
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
        await asyncio.gather(*(room.release() for room in self.taken))

    async def regain(self) -> None:
        """Asks for the rooms that are no longer held. A drawing whose room can't be had again ends with the reason."""
        self.lost.clear()
        missing = [room for room in self.taken if not room.held]
        for room in missing:
            room.asking = asyncio.create_task(self.held_again(room))
        await asyncio.gather(*(room.asked(cancel=False) for room in missing))

    async def held_again(self, room: Room) -> None:
        """Takes a new lease for `room`, or ends what is drawn in it."""
        try:
            room.hold(await self.ask(room))
        except ImajinError as error:
            room.give_up(error)
