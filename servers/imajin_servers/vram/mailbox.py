"""What one holder has yet to hear."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from imajin_servers.runtime.errors import ImajinError
from imajin_servers.vram.claims import Event, Moved

ROOM = 32
"""Answers that may lie unread before no more is read from the holder. Places in the line don't count: the latest wins."""


@dataclass(frozen=True)
class Acknowledged:
    """A heartbeat was taken; the lease expires at this time of the ledger's clock without another."""

    expires_at: float


@dataclass(frozen=True)
class HungUp:
    """The holder will write no more."""


Letter = Event | Acknowledged | HungUp | ImajinError


class Mailbox:
    """Letters to one holder, in order."""

    def __init__(self) -> None:
        self.letters: deque[Letter] = deque()
        self.arrived = asyncio.Event()
        self.emptied = asyncio.Event()

    def post(self, letter: Letter) -> None:
        """Adds a letter. A place in the line replaces the place before it."""
        if isinstance(letter, Moved) and self.letters and isinstance(self.letters[-1], Moved):
            self.letters.pop()
        self.letters.append(letter)
        self.arrived.set()

    async def take(self) -> Letter:
        """The next letter; waits for one."""
        while not self.letters:
            self.arrived.clear()
            await self.arrived.wait()
        letter = self.letters.popleft()
        self.emptied.set()
        return letter

    async def room(self) -> None:
        """Waits until a holder that does not read what it is sent has read some."""
        while len(self.letters) >= ROOM:
            self.emptied.clear()
            await self.emptied.wait()
