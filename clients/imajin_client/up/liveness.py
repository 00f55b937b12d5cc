"""Whether a server that serves still lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def silence(
    answers: Callable[[], Awaitable[bool]],
    pause: float,
    failures: int,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> float:
    """Asks every `pause` seconds, and returns once `failures` checks in a row had no answer: the moment of the last one, by `now`.

    In a row, because one check says little: this process may have been stopped itself while it waited.
    """
    heard, missed = now(), 0
    while missed < failures:
        await sleep(pause)
        if await answers():
            heard, missed = now(), 0
        else:
            missed += 1
    return heard
