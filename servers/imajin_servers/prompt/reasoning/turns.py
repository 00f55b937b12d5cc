"""A line of bounded length in front of something that serves few at a time."""

from __future__ import annotations

import asyncio

from imajin_servers.runtime.errors import QueueFull

RETRY_AFTER = 5.0


class Turns:
    """`async with turns:` waits for one of `at_once` turns, first come, first served.

    Raises QueueFull when `max_waiting` wait already.
    """

    def __init__(self, max_waiting: int, at_once: int = 1) -> None:
        self.max_waiting = max_waiting
        self.waiting = 0
        self.taken = 0
        self.free = asyncio.Semaphore(at_once)

    async def __aenter__(self) -> None:
        """Waits for a turn."""
        if self.free.locked() and self.waiting >= self.max_waiting:
            message = f"{self.waiting} requests wait for the language model already"
            raise QueueFull(message, retry_after=RETRY_AFTER)
        self.waiting += 1
        try:
            await self.free.acquire()
        finally:
            self.waiting -= 1
        self.taken += 1

    async def __aexit__(self, *error: object) -> None:
        """Gives the turn to the next."""
        self.taken -= 1
        self.free.release()
