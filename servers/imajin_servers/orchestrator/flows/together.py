"""Several things at the same time, but not too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def together(work: Sequence[Callable[[], Coroutine[Any, Any, T]]], at_most: int) -> list[T]:
    """What each of `work` gives, in its order. The first failure ends the others, and it alone is raised."""
    turns = asyncio.Semaphore(at_most)

    async def done(one: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with turns:
            return await one()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(done(one)) for one in work]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
