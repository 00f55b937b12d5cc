"""Where the CPU work is done: a bounded number of threads, of calls and of bytes, so that no load can grow without end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from imajin_servers.processing import metrics, wanted
from imajin_servers.processing.memory import give_back
from imajin_servers.runtime.errors import QueueFull

T = TypeVar("T")
SMOOTHING = 0.2
"""Weight of the newest call in the running mean of how long a call takes."""
LARGE = 8_000_000
"""Bytes of an upload after which freed memory is given back when nothing is held any more."""
SWITCH_SECONDS = 0.001
"""After which a thread in Python lets another go on. Of Python's own 5 ms the event loop waited for two threads' worth, and more where cores are scarce."""
REST_SECONDS = 1.0
"""How long after it: the call still has to end, and the next upload would want the memory back."""


class Workshop:
    """Threads that decode, resize and encode, and the accounts of what waits for them.

    `max_calls` calls may work or wait; `max_bytes` of uploads and pixels may be held by all of them together. What is
    above gets QueueFull at once, with the time after which a place should be free.
    """

    def __init__(
        self, workers: int, max_calls: int, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.workers = workers
        self.max_calls = max_calls
        self.max_bytes = max_bytes
        self.clock = clock
        self.calls = 0
        self.bytes = 0
        self.mean_seconds = 0.5
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="imajin-work")
        sys.setswitchinterval(SWITCH_SECONDS)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[Bench]:
        """A place for one call. Raises QueueFull. The place is free again when its last thread has ended."""
        if self.calls >= self.max_calls:
            raise self.full(f"{self.calls} images are being processed or wait")
        self.calls += 1
        metrics.CALLS.set(self.calls)
        began = self.clock()
        bench = Bench(self)
        try:
            yield bench
            self.mean_seconds += SMOOTHING * (self.clock() - began - self.mean_seconds)
        finally:
            bench.close()

    @contextmanager
    def reserve(self) -> Iterator[Reserve]:
        """Accounts for bytes outside of a call: uploads that are still arriving."""
        reserve = Reserve(self)
        try:
            yield reserve
        finally:
            large = reserve.held >= LARGE
            reserve.free()
            if large:
                asyncio.get_running_loop().call_later(REST_SECONDS, self.rest)

    def rest(self) -> None:
        """Gives freed memory back where nothing is held: after some uploads of 20 MB a server would keep 100 MB."""
        if not self.bytes:
            with suppress(RuntimeError):
                self.threads.submit(give_back)

    def full(self, message: str) -> QueueFull:
        """The error of no room, with an estimate of when there will be."""
        wait = max(0.5, self.mean_seconds * self.calls / self.workers)
        return QueueFull(message, retry_after=round(wait, 1))

    def close(self) -> None:
        """Ends the threads; what waits is dropped, what runs is waited for."""
        self.threads.shutdown(wait=True, cancel_futures=True)


class Reserve:
    """Bytes held by one owner."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.held = 0

    def hold(self, count: int) -> None:
        """Takes `count` more bytes. Raises QueueFull when all owners together would hold too many."""
        if self.workshop.bytes + count > self.workshop.max_bytes and self.workshop.bytes > 0:
            raise self.workshop.full(f"{self.workshop.bytes} bytes of images are being processed")
        self.workshop.bytes += count
        metrics.BYTES.set(self.workshop.bytes)
        self.held += count

    def free(self) -> None:
        """Gives all of them back."""
        self.workshop.bytes -= self.held
        metrics.BYTES.set(self.workshop.bytes)
        self.held = 0


class Bench:
    """One call's place in the workshop."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.reserve = Reserve(workshop)
        self.running = 0
        self.closed = False

    @property
    def workers(self) -> int:
        """How many threads there are."""
        return self.workshop.workers

    def hold(self, count: int) -> None:
        """Accounts for `count` bytes until the call is over."""
        self.reserve.hold(count)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs `work` in a thread. When this is cancelled, work that waits is dropped; work that runs ends in its own time."""
        asked = time.monotonic()

        def begun() -> T:
            metrics.WAIT.observe(time.monotonic() - asked)
            with wanted.until(lambda: self.closed):
                return work(*arguments)

        future = self.workshop.threads.submit(begun)
        self.running += 1
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: call_soon(loop, self.ended))
        return await asyncio.wrap_future(future)

    def ended(self) -> None:
        """One thread is done."""
        self.running -= 1
        self.settle()

    def close(self) -> None:
        """The call is over."""
        self.closed = True
        self.settle()

    def settle(self) -> None:
        """Gives the place back once the call is over and no thread works on its pixels any more."""
        if self.closed and self.running == 0:
            self.reserve.free()
            self.workshop.calls -= 1
            metrics.CALLS.set(self.workshop.calls)
            self.closed = False


def call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Calls back on the loop, unless it is gone already: then there is nobody to account for."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)
