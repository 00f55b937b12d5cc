"""The room that one drawing has on the card. Its lease may be another one later, and one that it shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imajin_servers.runtime.errors import ImajinError
from imajin_servers.runtime.leases import HeldLease, OnWaiting


class Room:
    """`bytes` for one drawing; `on_lost` is called when their lease is lost while they are used. Made by the task that draws."""

    def __init__(self, bytes: int, priority: int, on_waiting: OnWaiting, on_lost: Callable[[], None]) -> None:
        self.bytes = bytes
        self.priority = priority
        self.on_waiting = on_waiting
        self.on_lost = on_lost
        self.lease: HeldLease | None = None
        self.leased = True
        """Whether a lease is needed; there is none where no vram server is asked."""
        self.watching: asyncio.Task[None] | None = None
        self.drawing = asyncio.current_task()
        self.error: ImajinError | None = None

    @property
    def held(self) -> bool:
        """Whether it may be used."""
        return not self.leased or (self.lease is not None and self.lease.held)

    def hold(self, lease: HeldLease | None) -> None:
        """Is held by `lease` from now on, or needs none."""
        self.lease, self.leased = lease, lease is not None
        if lease is not None:
            self.watching = asyncio.create_task(self.watch(lease))

    async def watch(self, lease: HeldLease) -> None:
        """Tells when `lease` is lost."""
        await lease.lost.wait()
        self.on_lost()

    def let_go(self) -> HeldLease | None:
        """Is no longer held; what it was held by."""
        if self.watching is not None:
            self.watching.cancel()
        lease, self.lease = self.lease, None
        return lease

    def give_up(self, error: ImajinError) -> None:
        """Ends what is drawn in it with `error`."""
        if self.error is None and self.drawing is not None:
            self.error = error
            self.drawing.cancel()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Raises what the drawing was given up for."""
        cancelling = 0 if self.drawing is None else self.drawing.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            if self.error is None or self.drawing is None or self.drawing.uncancel() > cancelling:
                raise
            raise self.error from None
        finally:
            # What comes after it is no longer to be ended.
            self.drawing = None
