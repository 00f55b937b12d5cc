"""When a lease may not be used any more, as its holder counts it."""

from __future__ import annotations

import asyncio
import time
from collections import deque


class Expiry:
    """Ends the block of `watchdog` when no sign of life was answered within the TTL, or when what was asked back is overdue.

    The TTL counts from when the oldest sign of life was sent that is answered: the server may have got it then at the earliest.
    """

    def __init__(self) -> None:
        self.ttl = float("inf")
        """Seconds."""
        self._unanswered: deque[float] = deque()
        self._expires = self._revoked = float("inf")
        self._watchdog: asyncio.Timeout | None = None

    def watchdog(self) -> asyncio.Timeout:
        """What ends a block, by TimeoutError; none of it begins to count before `answered` or `asked_back`."""
        self._watchdog = asyncio.timeout(None)
        return self._watchdog

    def begin(self) -> None:
        """A new stream: nothing of the old one is answered any more."""
        self._unanswered.clear()

    def sent(self) -> None:
        """A sign of life goes out."""
        self._unanswered.append(time.monotonic())

    def answered(self) -> None:
        """The oldest sign of life was answered."""
        if self._unanswered:
            self._expires = self._unanswered.popleft() + self.ttl
            self._wind()

    def asked_back(self, seconds: float) -> None:
        """The server counts the memory as free after `seconds`."""
        self._revoked = time.monotonic() + seconds
        self._wind()

    def why(self) -> str:
        """What the time ran out for."""
        return "revoked" if self._revoked <= time.monotonic() else "no heartbeat was answered in time"

    def _wind(self) -> None:
        if self._watchdog is not None:
            left = min(self._expires, self._revoked) - time.monotonic()
            self._watchdog.reschedule(asyncio.get_running_loop().time() + left)
