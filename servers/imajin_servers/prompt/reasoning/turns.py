"""A line of bounded length in front of something that can serve one at a time."""

from __future__ import annotations

import asyncio

from imajin_servers.runtime.errors import QueueFull

RETRY_AFTER = 5.0


class Turns:
    """`async with turns:` waits for one's turn, first come, first served. Raises QueueFull when `max_waiting` wait already."""

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self.waiting = 0
        self.lock = asyncio.Lock()

    @property
    def taken(self) -> bool:
        """Whether somebody has the turn."""
        return self.lock.locked()

    async def __aenter__(self) -> None:
        """Waits for the turn."""
        if self.lock.locked() and self.waiting >= self.max_waiting:
            message = f"{self.waiting} requests wait for the language model already"
            raise QueueFull(message, retry_after=RETRY_AFTER)
        self.waiting += 1
        try:
            await self.lock.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *error: object) -> None:
        """Gives the turn to the next."""
        self.lock.release()
