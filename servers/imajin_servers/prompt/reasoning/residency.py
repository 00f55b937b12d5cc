"""A model's stay on a card: it holds a VRAM lease while it is in memory, and leaves when the lease is asked back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from imajin_servers.runtime.errors import ServerUnavailable
from imajin_servers.runtime.leases import HeldLease, LeaseClient

# What freeing the memory may take, out of the grace that a revocation gives.
LEAVING_SECONDS = 1.0

log = structlog.get_logger()


@dataclass(frozen=True)
class LeaseTerms:
    """How to ask for leases: whom, with which priority (the server's default for None), and how many seconds to wait."""

    client: LeaseClient
    priority: int | None = None
    max_wait: float | None = None


@dataclass(frozen=True)
class Room:
    """What a model takes of the cards: `bytes` of any one, or `fraction` of each of the first `cards`."""

    bytes: int = 0
    fraction: float = 0.0
    cards: int = 1

    async def on(self, client: LeaseClient) -> list[tuple[str, int]]:
        """The cards (empty for any) and how many bytes of each. Raises ServerUnavailable."""
        if not self.fraction:
            return [("", self.bytes)]
        cards = await client.cards()
        return [(card.device_id, int(card.total_bytes * self.fraction)) for card in cards[: self.cards]]


class Residency:
    """Says whether a model may be in memory.

    `leave` frees its memory and is called when a lease is asked back and nobody uses the model any more. Without
    `terms`, or where no vram server has ever answered, the model may always stay.
    """

    def __init__(
        self, terms: LeaseTerms | None, leave: Callable[[], Awaitable[None]], *, holder: str, room: Room
    ) -> None:
        self.terms = terms
        self.leave = leave
        self.holder = holder
        self.room = room
        self.leases: list[HeldLease] = []
        self.firm = False
        """Whether the leases can't be asked back for others; they are given back as soon as nobody uses the model."""
        self.warden: asyncio.Task[None] | None = None
        self.warned = False
        self.users = 0
        self.unused = asyncio.Event()
        self.evicting = False
        """Whether the memory has to be free before the work is done: whoever uses the model looks between two tokens, from any
        thread, leaves off where this is set, and comes back through `use` to go on."""
        # Held while leases are acquired and while the model leaves: nobody comes in meanwhile.
        self.door = asyncio.Lock()

    @asynccontextmanager
    async def use(self, *, firm: bool = False) -> AsyncIterator[None]:
        """The model may be in memory inside of this. Waits for the lease; raises what acquiring one raises.

        A lease that is taken for a `firm` use is not asked back for others before the use is over; for uses that come to an end.
        """
        async with self.door:
            if self.firm and not self.users:
                await self.depart(self.leases)
            if not self.leases and self.terms is not None:
                await self.acquire(self.terms, firm=firm)
            self.users += 1
            self.unused.clear()
            self.tell_idle()
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                self.unused.set()
                self.tell_idle()

    def tell_there(self) -> None:
        """Tells the vram server that the model is in memory."""
        for lease in self.leases:
            lease.report_used(lease.bytes)

    def tell_idle(self) -> None:
        """Tells the vram server whether anybody needs the model."""
        for lease in self.leases:
            lease.report_idle(not self.users)

    async def acquire(self, terms: LeaseTerms, *, firm: bool) -> None:
        """Takes the leases; goes on without where no vram server answers, and none ever did."""
        leases: list[HeldLease] = []
        try:
            for device_id, amount in await self.room.on(terms.client):
                lease = await terms.client.acquire(
                    amount,
                    holder=self.holder,
                    priority=terms.priority,
                    preemptible=not firm,
                    device_id=device_id,
                    max_wait=terms.max_wait,
                )
                leases.append(lease)
        except BaseException as error:
            await release(leases)
            # Where one was there before, others may hold what it will know again when it comes back.
            if not isinstance(error, ServerUnavailable) or terms.client.heard is not None:
                raise
            if not self.warned:
                log.warning("no vram server answers: the language model runs without a lease", holder=self.holder)
            self.warned = True
            return
        self.leases, self.firm = leases, firm
        self.warden = asyncio.create_task(self.watch(leases))

    async def watch(self, leases: list[HeldLease]) -> None:
        """Waits until a lease is asked back or lost, or a firm use is over, then sees the model out."""
        # It outlives the call that the lease was taken for.
        structlog.contextvars.unbind_contextvars("request_id", "method")
        events = [event for lease in leases for event in (lease.revoked, lease.lost)]
        if self.firm:
            events.append(self.unused)
        ends = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        why = " ".join(lease.revoke_reason or lease.why_lost for lease in leases).strip() or "its turn is over"
        log.info("the language model leaves the card", holder=self.holder, reason=why)
        async with self.door:
            lost = any(lease.lost.is_set() for lease in leases)
            left = min(lease.seconds_to_revoke() for lease in leases)
            await self.emptied(0.0 if lost else max(left - LEAVING_SECONDS, 0.0))
            await self.depart(leases)

    async def emptied(self, patience: float) -> None:
        """Waits until nobody uses the model; after `patience` seconds, has them leave off."""
        if not self.users:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.unused.wait()
        if not self.users:
            return
        log.info(
            "answers are interrupted until the language model may come back", holder=self.holder, answers=self.users
        )
        self.evicting = True
        try:
            await self.unused.wait()
        finally:
            self.evicting = False

    async def depart(self, leases: list[HeldLease]) -> None:
        """Frees the memory and gives the leases back, even where freeing fails: the vram server grants no more than the driver shows as free."""
        self.firm = False
        if self.warden is not None and self.warden is not asyncio.current_task():
            self.warden.cancel()
        try:
            await self.leave()
        finally:
            await release(leases)
            self.leases = []

    async def close(self) -> None:
        """Frees the memory and gives the leases back."""
        if self.warden is not None:
            self.warden.cancel()
            await asyncio.wait({self.warden})
        async with self.door:
            await self.depart(self.leases)


async def release(leases: list[HeldLease]) -> None:
    """Gives leases back."""
    for lease in leases:
        await lease.release()
