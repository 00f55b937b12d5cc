"""Room on the card for what is drawn with a model, beside its weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch

from imajin_servers.diffusion.models.card import Card
from imajin_servers.diffusion.models.device import unreserved
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

    @asynccontextmanager
    async def room(self, bytes: int, priority: int, on_waiting: OnWaiting) -> AsyncIterator[HeldLease | None]:
        """`bytes`, for the length of a block. Raises GpuOutOfMemory and what else leases raise."""
        lease = await self.granted(bytes, priority, on_waiting)
        try:
            yield lease
        finally:
            if lease is not None:
                await asyncio.to_thread(unreserved, self.device)
                await lease.release()

    async def granted(self, bytes: int, priority: int, on_waiting: OnWaiting) -> HeldLease | None:
        """Waits for `bytes`; asks anew after each `withdraw`."""
        while True:
            await self.open.wait()
            asking = asyncio.create_task(self.card.acquire(bytes, self.holder, priority, on_waiting, group=self.group))
            self.asking.add(asking)
            try:
                return await asking
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
            finally:
                self.asking.discard(asking)

    async def withdraw(self) -> None:
        """Returns when nothing waits for room: what was granted while the weights are away could take the room that they come back to."""
        for asking in self.asking:
            asking.cancel()
        if self.asking:
            await asyncio.wait(self.asking)
