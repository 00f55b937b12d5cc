"""Waiting for work in a thread, which a cancelled coroutine can't leave behind: the card is in use until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def settled(work: Awaitable[T], on_cancel: Callable[[], None] | None = None) -> T:
    """The result of `work`. When cancelled, calls `on_cancel` and waits for the end of `work` before it goes on."""
    inner = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(inner)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        if not inner.done():
            await asyncio.wait({inner})
        if not inner.cancelled():
            inner.exception()
        raise
