"""Who may begin: a bounded line in front of a bounded number of places."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from imajin_servers.runtime.errors import QueueFull


@dataclass(eq=False)
class Waiter:
    """Somebody in the line. Ranks by arrival, put forward by priority."""

    rank: tuple[float, int]
    on_position: Callable[[int], None]
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    told: int = 0


class Line:
    """`places` at a time, `longest` more in line; `ageing` seconds of waiting weigh one point of priority."""

    def __init__(self, places: int, longest: int, ageing: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.places = places
        self.longest = longest
        self.ageing = ageing
        self.clock = clock
        self.taken = 0
        self.waiting: list[Waiter] = []
        self.ids = itertools.count()
        self.usual = 1.0
        """Seconds that a place is held, as a moving average."""

    @asynccontextmanager
    async def place(self, priority: int, on_position: Callable[[int], None]) -> AsyncIterator[None]:
        """Waits for a place and holds it. `on_position` hears the place in the line, 1 is next. Raises QueueFull."""
        if self.taken >= self.places or self.waiting:
            await self.wait(priority, on_position)
        else:
            self.taken += 1
        began = self.clock()
        try:
            yield
        finally:
            self.usual += 0.2 * (self.clock() - began - self.usual)
            self.leave()

    async def wait(self, priority: int, on_position: Callable[[int], None]) -> None:
        """Stands in line until a place is handed over."""
        if len(self.waiting) >= self.longest:
            seconds = max(1.0, self.usual * (len(self.waiting) + 1) / self.places)
            raise QueueFull(
                f"{len(self.waiting)} generations wait already",
                metadata={"waiting": str(len(self.waiting))},
                retry_after=round(seconds, 1),
            )
        waiter = Waiter((self.clock() - self.ageing * priority, next(self.ids)), on_position)
        self.waiting.append(waiter)
        self.order()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self.waiting:
                self.waiting.remove(waiter)
                self.order()
            else:
                # The place was handed over in the same moment.
                self.leave()
            raise

    def leave(self) -> None:
        """Hands a place on to whoever is next."""
        if not self.waiting:
            self.taken -= 1
            return
        waiter = self.waiting.pop(0)
        waiter.turn.set_result(None)
        self.order()

    def order(self) -> None:
        """Sorts the line and tells whoever moved."""
        self.waiting.sort(key=lambda waiter: waiter.rank)
        for position, waiter in enumerate(self.waiting, 1):
            if waiter.told != position:
                waiter.told = position
                waiter.on_position(position)
