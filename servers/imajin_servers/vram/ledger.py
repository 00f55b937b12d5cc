"""The ledger of leases: a state machine that knows no wire, no driver and no clock but the one it is given.

    WAITING -> HELD -> REVOKING -> ENDED      (each may end; HELD may grow, which waits like a new claim)

Every public method leaves it settled: whoever can be granted is. What holders must hear lies in `take_events`.
Someone calls `tick` at `next_deadline`, because time passes without a call. Times are seconds, amounts are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imajin_servers.runtime.errors import Draining, GpuOutOfMemory, QueueFull
from imajin_servers.vram.book import Book, lost
from imajin_servers.vram.claims import (
    FOREVER,
    Ask,
    Card,
    Claim,
    ClaimState,
    EndCause,
    Event,
    Resized,
    RevokeCause,
)
from imajin_servers.vram.entries import Entries
from imajin_servers.vram.line import Line
from imajin_servers.vram.rules import Rules


class Ledger:
    """Who may use how much of which card."""

    def __init__(
        self,
        cards: Sequence[Card],
        clock: Callable[[], float],
        new_id: Callable[[], str],
        rules: Rules | None = None,
        first_token: int = 1,
    ) -> None:
        self.book = Book(cards)
        self.clock = clock
        self.new_id = new_id
        self.rules = rules or Rules()
        self.entries = Entries(self.book, clock, self.rules, first_token)
        self.line = Line(self.book, self.entries, clock, self.rules)
        self.draining = False

    @property
    def version(self) -> int:
        """Grows with every change that a watcher would see."""
        return self.entries.version

    @property
    def next_token(self) -> int:
        """The fencing token of the next grant."""
        return self.entries.next_token

    def begin_at(self, token: int) -> None:
        """Grants with `token` and what follows it, unless it is further already."""
        self.entries.next_token = max(self.entries.next_token, token)

    def take_events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events, self.entries.events = self.entries.events, []
        return events

    def acquire(self, ask: Ask) -> Claim:
        """A new claim: held at once where there is room, else waiting.

        Raises GpuOutOfMemory where no card can ever hold it, or none beside what stays of its group, NotFound for an unknown
        card, QueueFull and Draining.
        """
        if self.draining:
            raise Draining("the vram server is shutting down")
        if ask.bytes > max((card.total - self.book.staying(ask, card) for card in self.book.homes(ask)), default=0):
            raise GpuOutOfMemory.of(ask.bytes, self.book.most_room(ask.device_id))
        if len(self.book.waiting()) >= self.rules.max_waiting:
            raise QueueFull("too many wait for the cards already", retry_after=self.rules.retry_after)
        now = self.clock()
        claim = Claim(
            ask=ask,
            lease_id=self.new_id(),
            asked_at=now,
            rank=now - ask.priority * self.rules.ageing,
            ttl=ask.ttl or self.rules.ttl,
            bytes=ask.bytes,
            gives_up_at=FOREVER if ask.max_wait is None else now + ask.max_wait,
        )
        self.book.claims[claim.lease_id] = claim
        self.entries.version += 1
        self.line.settle()
        return claim

    def adopt(self, lease_id: str, token: int, device_id: str, bytes: int, ttl: float, ask: Ask) -> None:
        """Takes up a lease that a former server of this host granted; its holder has one TTL to resume it.

        One whose card is gone, or has no room for it, is left out.
        """
        card = self.book.cards.get(device_id)
        if card is None or bytes > card.total - self.book.leased(card):
            return
        now = self.clock()
        claim = Claim(ask, lease_id, now, now, ttl, bytes, ClaimState.HELD, token, card, now, now + ttl, since=now)
        self.book.claims[lease_id] = claim
        self.begin_at(token + 1)
        self.entries.version += 1

    def leave(self, claim: Claim) -> None:
        """Its holder's stream has ended: what waits is withdrawn; what is held lives on until its TTL."""
        if claim.state is ClaimState.WAITING:
            self.entries.strike(claim)
            self.line.settle()
        elif claim.growing_to is not None:
            claim.growing_to = None
            self.entries.version += 1
            self.line.settle()

    def resume(self, lease_id: str, token: int) -> Claim:
        """The lease of `lease_id`, whose holder has come back; counts as a heartbeat. Raises LeaseLost."""
        self.tick()
        claim = self.book.lease(lease_id, token)
        claim.expires_at = self.clock() + claim.ttl
        return claim

    def heartbeat(self, claim: Claim, used: int | None, *, idle: bool = False) -> float:
        """Prolongs a lease; `used` bytes are in use, None where its holder does not know. When it expires. Raises LeaseLost."""
        self.tick()
        if not claim.held:
            raise lost(claim.lease_id)
        claim.expires_at = self.clock() + claim.ttl
        if (claim.reported, claim.idle) != (used, idle):
            if claim.idle != idle:
                claim.idle, claim.since = idle, self.clock()
            claim.reported = used
            self.entries.uses(claim)
            self.entries.version += 1
            self.line.settle()
        elif claim.said != claim.in_use and claim.rising_since == FOREVER:
            # It has grown since.
            self.entries.uses(claim)
        return claim.expires_at

    def resize(self, claim: Claim, bytes: int) -> None:
        """Holds `bytes` from now on: less at once, more in its turn; the latest word counts.

        Raises LeaseLost, and GpuOutOfMemory where the card can't hold it, or where it and others that grow would wait
        for each other for ever.
        """
        self.tick()
        card = claim.card
        if card is None:
            raise lost(claim.lease_id)
        claim.growing_to = None
        self.entries.version += 1
        if bytes <= claim.bytes:
            used, claim.bytes = claim.in_use, bytes
            self.entries.given_back(card, used - claim.in_use)
            self.entries.events.append(Resized(claim, bytes))
        elif claim.state is ClaimState.HELD:
            claim.growing_to = bytes
            if bytes > card.total or not self.book.growth_can_end(claim, card):
                claim.growing_to = None
                self.line.settle()
                raise GpuOutOfMemory.of(bytes, claim.bytes + self.book.room(card))
        self.line.settle()

    def release(self, claim: Claim) -> None:
        """Ends a claim; its memory is free."""
        if claim.state is not ClaimState.ENDED:
            self.entries.end(claim, EndCause.CLIENT)
            self.line.settle()

    def drain(self, grace: float) -> None:
        """Asks every lease back within `grace` seconds, and refuses whoever waits or comes."""
        self.draining = True
        for claim in list(self.book.claims.values()):
            if claim.state is ClaimState.WAITING:
                self.entries.refuse(claim, draining=True)
            else:
                self.entries.revoke(claim, RevokeCause.DRAINING, grace)

    def observe(self, device_id: str, used: int, asked_at: float) -> None:
        """Takes what the driver of a card said is in use, by whomever, when it was asked at `asked_at`."""
        card = self.book.cards[device_id]
        if self.entries.observed(card, used, asked_at):
            self.entries.version += 1
            self.line.settle()

    def next_deadline(self) -> float:
        """When `tick` has something to do, at the latest."""
        claims = (min(c.expires_at, c.revoked_at, c.gives_up_at) for c in self.book.claims.values())
        return min([self.line.turn_ends, *claims, *(card.shown_by for card in self.book.cards.values())])

    def tick(self) -> None:
        """Does what the time has come for."""
        now = self.clock()
        if now < self.next_deadline():
            return
        for claim in list(self.book.claims.values()):
            if claim.expires_at <= now:
                self.entries.end(claim, EndCause.EXPIRED)
            elif claim.revoked_at <= now:
                self.entries.end(claim, EndCause.REVOKED)
            elif claim.gives_up_at <= now:
                self.entries.refuse(claim)
        for card in self.book.cards.values():
            if card.shown_by <= now:
                card.freed, card.shown_by = 0, FOREVER
        self.line.settle()
