"""Which models stay in memory: as many as limits and room allow; the one that was used longest ago goes first, and none that is in use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from imajin_servers.runtime.errors import GpuOutOfMemory


class Shelved(Protocol):
    """A model as the shelf sees it."""

    weight_bytes: int
    last_used: float

    @property
    def idle(self) -> bool:
        """Whether it is in memory and nobody needs it."""
        ...

    @property
    def present(self) -> bool:
        """Whether it is in memory, or on its way there."""
        ...

    async def put_away(self) -> None:
        """Takes it out of memory, where it is idle."""
        ...


class Shelf:
    """Room for models. `max_loaded` models and `max_bytes` of weights at a time, 0 sets no limit; `free` says what the device has left.

    Use it in the event loop.
    """

    def __init__(self, max_loaded: int = 0, max_bytes: int = 0, free: Callable[[], int | None] = lambda: None) -> None:
        self.max_loaded = max_loaded
        self.max_bytes = max_bytes
        self.free = free
        self.models: list[Shelved] = []
        self.turn = asyncio.Lock()
        self.changed = asyncio.Event()

    def stir(self) -> None:
        """A model was loaded, unloaded, or is idle now: whoever waits for room looks again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def pass_by(self) -> None:
        """Returns when nobody who came before waits for room: newcomers could keep the models in use from ever being idle."""
        if self.turn.locked():
            async with self.turn:
                pass

    async def room_for(self, model: Shelved, tell: Callable[[int, int], None]) -> None:
        """Returns when `model` may be loaded, in order of asking; `tell` hears the bytes asked for and there. Raises GpuOutOfMemory."""
        need = model.weight_bytes
        if self.max_bytes and need > self.max_bytes:
            raise GpuOutOfMemory.of(need, self.max_bytes)
        async with self.turn:
            while not self.fits(model):
                if (victim := self.longest_unused(model)) is not None:
                    await victim.put_away()
                    continue
                others = sum(one.weight_bytes for one in self.models if one.present and one is not model)
                tell(need, max(self.max_bytes - others, 0))
                await self.changed.wait()
            while self.short(need) and (victim := self.longest_unused(model)) is not None:
                await victim.put_away()

    def fits(self, model: Shelved) -> bool:
        """Whether the limits allow `model` beside the others that are there."""
        others = [one for one in self.models if one.present and one is not model]
        count = not self.max_loaded or len(others) < self.max_loaded
        return count and (
            not self.max_bytes or sum(one.weight_bytes for one in others) + model.weight_bytes <= self.max_bytes
        )

    def short(self, need: int) -> bool:
        """Whether the device has less than `need` bytes left, where it says what it has."""
        free = self.free()
        return free is not None and free < need

    def longest_unused(self, model: Shelved | None) -> Shelved | None:
        """The idle model that was used longest ago, `model` aside."""
        idle = [one for one in self.models if one.idle and one is not model]
        return min(idle, key=lambda one: one.last_used, default=None)
