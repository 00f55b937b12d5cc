"""Where holders meet the ledger: delivers what it says, keeps its time, reads the drivers, wakes watchers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Protocol

import structlog

from imajin_servers.runtime.errors import LeaseLost
from imajin_servers.vram import metrics
from imajin_servers.vram.book import Book
from imajin_servers.vram.claims import FOREVER, Ask, Claim
from imajin_servers.vram.devices import Driver, DriverFailed
from imajin_servers.vram.journal import Journal
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.mailbox import Mailbox

log = structlog.get_logger()


class Clock(Protocol):
    """Time, in seconds from any zero; injected so that tests can turn it."""

    def now(self) -> float:
        """The time."""
        ...

    async def sleep_until(self, moment: float) -> None:
        """Returns when `moment` has come."""
        ...


class Desk:
    """The ledger with its surroundings. Everything here runs in one event loop; the ledger needs no lock."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        drivers: Sequence[Driver],
        poll_seconds: float,
        journal: Journal | None = None,
    ) -> None:
        self.ledger = ledger
        self.journal = journal
        self.clock = clock
        self.drivers = drivers
        self.poll_seconds = poll_seconds
        self.mailboxes: dict[Claim, Mailbox] = {}
        self.stirred = asyncio.Event()
        self.changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Desk]:
        """Keeps time and reads drivers while the context lives."""
        if self.journal is not None:
            noted = self.journal.open()
            self.ledger.begin_at(noted.next_token)
            for entry in noted.leases:
                self.ledger.adopt(**vars(entry))
        await self.read_drivers()
        metrics.stands(self.ledger.book)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.keep_time())]
            if self.drivers:
                tasks.append(group.create_task(self.keep_reading()))
            yield self
            for task in tasks:
                task.cancel()

    def acquire(self, ask: Ask, mailbox: Mailbox) -> Claim:
        """A new claim whose holder reads `mailbox`. Raises as the ledger does."""
        with self.delivery():
            claim = self.ledger.acquire(ask)
            self.mailboxes[claim] = mailbox
        return claim

    def resume(self, lease_id: str, token: int, mailbox: Mailbox) -> Claim:
        """The lease of a holder that has come back. A stream that still held it hears that it was taken over."""
        with self.delivery():
            claim = self.ledger.resume(lease_id, token)
        former = self.mailboxes.get(claim)
        if former is not None:
            former.post(LeaseLost("the lease was resumed by another stream", metadata={"lease_id": lease_id}))
        self.mailboxes[claim] = mailbox
        return claim

    def leave(self, claim: Claim, mailbox: Mailbox) -> None:
        """The stream that read `mailbox` has ended."""
        if self.mailboxes.get(claim) is mailbox:
            del self.mailboxes[claim]
            with self.delivery():
                self.ledger.leave(claim)

    def heartbeat(self, claim: Claim, used: int | None, *, idle: bool = False) -> float:
        """Prolongs a lease; when it expires."""
        with self.delivery():
            return self.ledger.heartbeat(claim, used, idle=idle)

    def resize(self, claim: Claim, bytes: int) -> None:
        """Changes what a lease holds, at once or in its turn."""
        with self.delivery():
            self.ledger.resize(claim, bytes)

    def release(self, claim: Claim) -> None:
        """Ends a claim."""
        with self.delivery():
            self.ledger.release(claim)

    def drain(self, grace: float) -> None:
        """Asks everything back within `grace` seconds."""
        with self.delivery():
            self.ledger.drain(grace)

    async def watch(self, pause: float, until: asyncio.Event) -> AsyncIterator[Book]:
        """The book now, and again after changes, at least `pause` seconds apart; ends when `until` is set."""
        while not until.is_set():
            changed = self.changed
            yield self.ledger.book
            await first_of(changed.wait(), until.wait())
            await first_of(self.clock.sleep_until(self.clock.now() + pause), until.wait())

    @contextlib.contextmanager
    def delivery(self) -> Iterator[None]:
        """Delivers what the ledger says about the work in this context."""
        version = self.ledger.version
        try:
            yield
        finally:
            self.deliver(version)

    def deliver(self, version: int) -> None:
        """Brings letters to their mailboxes; notes and shows what differs from `version`."""
        for event in self.ledger.take_events():
            metrics.happened(event, self.clock.now)
            mailbox = self.mailboxes.get(event.claim)
            if mailbox is not None:
                mailbox.post(event)
        self.stirred.set()
        if self.ledger.version != version:
            metrics.stands(self.ledger.book)
            if self.journal is not None:
                self.journal.write(self.ledger.book.holders(), self.ledger.next_token)
            self.changed.set()
            self.changed = asyncio.Event()

    async def keep_time(self) -> None:
        """Ticks the ledger when its next deadline has come."""
        while True:
            self.stirred.clear()
            deadline = self.ledger.next_deadline()
            if deadline == FOREVER:
                await self.stirred.wait()
            else:
                await first_of(self.stirred.wait(), self.clock.sleep_until(deadline))
            with self.delivery():
                self.ledger.tick()

    async def keep_reading(self) -> None:
        """Reads the drivers again and again."""
        while True:
            await self.clock.sleep_until(self.clock.now() + self.poll_seconds)
            await self.read_drivers()

    async def read_drivers(self) -> None:
        """Tells the ledger what each driver says is in use."""
        for driver in self.drivers:
            asked_at = self.clock.now()
            try:
                used = await asyncio.to_thread(driver.used)
            except DriverFailed as error:
                log.warning("the driver of a card does not answer", device=driver.device_id, error=str(error))
                continue
            with self.delivery():
                self.ledger.observe(driver.device_id, used, asked_at)


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns when the first of `waits` is done; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
