"""The ledger of leases: a state machine that knows no wire, no driver and no clock but the one it is given.

    WAITING -> HELD -> REVOKING -> ENDED      (each may end; HELD may grow, which waits like a new claim)

Every public method leaves it settled: whoever can be granted is. What holders must hear lies in `take_events`.
Someone calls `tick` at `next_deadline`, because time passes without a call. Times are seconds, amounts are bytes.

The line. Rank is the time of arrival less `ageing` seconds for each point of priority: waiting raises everyone alike,
so only those overtake a claim that arrive within 100 points' worth of it, and nobody starves. The first that does not
fit keeps the card where the least is missing: nobody behind it takes room there, but for leases that it could revoke
the moment that helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imajin_servers.runtime.errors import Draining, GpuOutOfMemory, QueueFull
from imajin_servers.vram.book import Book, lost
from imajin_servers.vram.claims import (
    FOREVER,
    Ask,
    Card,
    Claim,
    ClaimState,
    EndCause,
    Ended,
    Event,
    Granted,
    Moved,
    Refused,
    Resized,
    RevokeCause,
    Revoked,
)
from imajin_servers.vram.preemption import cost, victims


@dataclass(frozen=True)
class Rules:
    """What the ledger can be told. Seconds, where not said."""

    ttl: float = 15.0
    """How long a lease lives without a heartbeat, where its holder does not say."""
    grace: float = 30.0
    """Between a Revoke and the moment when the memory counts as free."""
    ageing: float = 1.0
    """Waiting that is worth one point of priority."""
    showing: float = 10.0
    """How long a driver may take to show memory as free that was given back."""
    max_waiting: int = 64
    """Claims that may wait at once."""
    retry_after: float = 5.0
    """When to try again after the line was full."""


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
        self.next_token = first_token
        self.draining = False
        self.version = 0
        """Grows with every change that a watcher would see."""
        self.events: list[Event] = []

    def take_events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events, self.events = self.events, []
        return events

    def acquire(self, ask: Ask) -> Claim:
        """A new claim: held at once where there is room, else waiting.

        Raises GpuOutOfMemory where no card can ever hold it, NotFound for an unknown card, QueueFull and Draining.
        """
        if self.draining:
            raise Draining("the vram server is shutting down")
        if ask.bytes > max((card.total for card in self.book.options(ask.device_id)), default=0):
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
        self.version += 1
        self.settle()
        return claim

    def adopt(self, lease_id: str, token: int, device_id: str, bytes: int, ttl: float, ask: Ask) -> None:
        """Takes up a lease that a former server of this host granted; its holder has one TTL to resume it.

        One whose card is gone, or has no room for it, is left out.
        """
        card = self.book.cards.get(device_id)
        if card is None or bytes > card.total - self.book.leased(card):
            return
        now = self.clock()
        claim = Claim(ask, lease_id, now, now, ttl, bytes, ClaimState.HELD, token, card, now, now + ttl)
        self.book.claims[lease_id] = claim
        self.next_token = max(self.next_token, token + 1)
        self.version += 1

    def leave(self, claim: Claim) -> None:
        """Its holder's stream has ended: what waits is withdrawn; what is held lives on until its TTL."""
        if claim.state is ClaimState.WAITING:
            self.strike(claim)
            self.settle()
        elif claim.growing_to is not None:
            claim.growing_to = None
            self.version += 1
            self.settle()

    def resume(self, lease_id: str, token: int) -> Claim:
        """The lease of `lease_id`, whose holder has come back; counts as a heartbeat. Raises LeaseLost."""
        self.tick()
        claim = self.book.lease(lease_id, token)
        claim.expires_at = self.clock() + claim.ttl
        return claim

    def heartbeat(self, claim: Claim, used: int) -> float:
        """Prolongs a lease; `used` bytes are in use, 0 where its holder does not know. When it expires. Raises LeaseLost."""
        self.tick()
        if not claim.held:
            raise lost(claim.lease_id)
        claim.expires_at = self.clock() + claim.ttl
        if claim.reported != used:
            claim.reported = used
            self.version += 1
            self.settle()
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
        self.version += 1
        if bytes <= claim.bytes:
            used, claim.bytes = claim.in_use, bytes
            self.given_back(card, used - claim.in_use)
            self.events.append(Resized(claim, bytes))
        elif claim.state is ClaimState.HELD:
            claim.growing_to = bytes
            if bytes > card.total or not self.book.growth_can_end(claim, card):
                claim.growing_to = None
                self.settle()
                raise GpuOutOfMemory.of(bytes, claim.bytes + self.book.room(card))
        self.settle()

    def release(self, claim: Claim) -> None:
        """Ends a claim; its memory is free."""
        if claim.state is not ClaimState.ENDED:
            self.end(claim, EndCause.CLIENT)
            self.settle()

    def drain(self, grace: float) -> None:
        """Asks every lease back within `grace` seconds, and refuses whoever waits or comes."""
        self.draining = True
        for claim in list(self.book.claims.values()):
            if claim.state is ClaimState.WAITING:
                self.refuse(claim)
            else:
                self.revoke(claim, RevokeCause.DRAINING, grace)

    def observe(self, device_id: str, used: int) -> None:
        """Takes what the driver of a card says is in use, by whomever."""
        card = self.book.cards[device_id]
        if card.used != used:
            card.used = used
            self.version += 1
            self.settle()

    def next_deadline(self) -> float:
        """When `tick` has something to do, at the latest."""
        claims = (min(c.expires_at, c.revoked_at, c.gives_up_at) for c in self.book.claims.values())
        return min([*claims, *(card.shown_by for card in self.book.cards.values())])

    def tick(self) -> None:
        """Does what the time has come for."""
        now = self.clock()
        if now < self.next_deadline():
            return
        for claim in list(self.book.claims.values()):
            if claim.expires_at <= now:
                self.end(claim, EndCause.EXPIRED)
            elif claim.revoked_at <= now:
                self.end(claim, EndCause.REVOKED)
            elif claim.gives_up_at <= now:
                self.refuse(claim)
        for card in self.book.cards.values():
            if card.shown_by <= now:
                card.freed, card.shown_by = 0, FOREVER
        self.settle()

    def settle(self) -> None:
        """Grants whatever can be granted, asks back what stands in the way, and tells the others their places."""
        kept: dict[str, int] = {}
        for claim in self.book.line():
            if claim.state is not ClaimState.WAITING and claim.growing_to is None:
                continue
            options = [claim.card] if claim.card else self.book.options(claim.ask.device_id)
            options = [card for card in options if (claim.growing_to or claim.bytes) <= card.total]
            open_to = [card for card in options if may_enter(claim, kept.get(card.device_id))]
            free = [card for card in open_to if self.book.room(card) >= claim.need]
            if free:
                self.grant(claim, min(free, key=self.book.room))
                continue
            self.make_room(claim, [card for card in options if card.device_id not in kept])
            card = min(options, key=lambda card: self.book.missing(claim, card))
            # While its room is on the way nobody passes it; else those do that it could revoke. A lease that could itself
            # be revoked for another does not keep more room from that one.
            if self.book.missing(claim, card) <= 0:
                kept[card.device_id] = 0
            elif claim.growing_to is None or not claim.ask.preemptible:
                kept[card.device_id] = min(claim.ask.priority, kept.get(card.device_id, claim.ask.priority))
        for position, claim in enumerate(self.book.line(), start=1):
            if claim.told_place != position:
                claim.told_place = position
                available = self.book.most_room(claim.ask.device_id)
                self.events.append(Moved(claim, position, claim.growing_to or claim.bytes, available))

    def make_room(self, claim: Claim, cards: Sequence[Card]) -> None:
        """Revokes the cheapest leases that stand in the way of `claim`, unless enough is on its way back already."""
        if any(self.book.missing(claim, card) <= 0 for card in cards):
            return
        sets = [
            victims(
                (c for c in self.book.on(card) if c is not claim), self.book.missing(claim, card), claim.ask.priority
            )
            for card in cards
        ]
        for victim in min((chosen for chosen in sets if chosen), key=cost, default=()):
            self.revoke(victim, RevokeCause.PREEMPTED, self.rules.grace)

    def grant(self, claim: Claim, card: Card) -> None:
        """Gives `claim` what it asks for."""
        now = self.clock()
        claim.told_place = 0
        self.version += 1
        if claim.growing_to is not None:
            claim.bytes, claim.growing_to = claim.growing_to, None
            self.events.append(Resized(claim, claim.bytes))
            return
        claim.state = ClaimState.HELD
        claim.card = card
        claim.token, self.next_token = self.next_token, self.next_token + 1
        claim.granted_at = now
        claim.expires_at = now + claim.ttl
        claim.gives_up_at = FOREVER
        self.events.append(Granted(claim))

    def revoke(self, claim: Claim, cause: RevokeCause, grace: float) -> None:
        """Asks a lease back within `grace` seconds; one that is asked back already keeps its deadline if it is sooner."""
        claim.state = ClaimState.REVOKING
        claim.revoke_cause = cause
        claim.revoked_at = min(claim.revoked_at, self.clock() + grace)
        claim.growing_to = None
        self.version += 1
        self.events.append(Revoked(claim))

    def refuse(self, claim: Claim) -> None:
        """Ends a claim that waits, because its time is up or the server's is."""
        available = self.book.most_room(claim.ask.device_id)
        self.strike(claim)
        self.events.append(Refused(claim, claim.bytes, available, self.draining))

    def end(self, claim: Claim, cause: EndCause) -> None:
        """Ends a claim for `cause`."""
        self.strike(claim)
        self.events.append(Ended(claim, cause))

    def strike(self, claim: Claim) -> None:
        """Strikes a claim out of the book."""
        if claim.card is not None:
            self.given_back(claim.card, claim.in_use)
        claim.state = ClaimState.ENDED
        claim.card = None
        claim.growing_to = None
        self.version += 1
        del self.book.claims[claim.lease_id]

    def given_back(self, card: Card, bytes: int) -> None:
        """Notes memory that the driver of a card will show as free soon, so that nothing else is revoked for it."""
        if card.used is not None and bytes > 0:
            card.freed += bytes
            card.shown_by = self.clock() + self.rules.showing


def may_enter(claim: Claim, kept_below: int | None) -> bool:
    """Whether `claim` may take room of a card that is kept for another, unless for preemptible leases under a priority."""
    if kept_below is None or claim.growing_to is not None:
        # Leases that grow pass each other: one that waits for the other's end must not hold it up.
        return True
    return claim.ask.preemptible and claim.ask.priority < kept_below
