"""Who is next, and who makes room.

Rank is the time of arrival less `ageing` seconds for each point of priority. Waiting raises everyone alike, so a claim is
overtaken only by those that arrive within the worth of 100 points after it, and nobody starves. The first claim that does not
fit keeps the card where it lacks least: nobody behind it may take room there, except for leases that it could revoke at once, and
for what is done beside weights that are there and that it waits for itself: they would not end without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imajin_servers.vram.book import Book
from imajin_servers.vram.claims import FOREVER, Card, Claim, ClaimState, Moved, RevokeCause
from imajin_servers.vram.entries import Entries
from imajin_servers.vram.preemption import cost, victims
from imajin_servers.vram.rules import Rules


@dataclass
class Kept:
    """Room that is kept on a card."""

    first: Claim
    """Who keeps it, first of all."""
    below: int
    """Preemptible leases of lower priority may enter."""


class Line:
    """The claims of `book` that wait, and what can be done for them now. `clock` gives seconds."""

    def __init__(self, book: Book, entries: Entries, clock: Callable[[], float], rules: Rules) -> None:
        self.book = book
        self.entries = entries
        self.clock = clock
        self.rules = rules
        self.turn_ends = FOREVER
        """When the next lease may be revoked for one that waits."""

    def settle(self) -> None:
        """Grants whatever can be granted, asks back what stands in the way, and tells the others their places."""
        while self.go_down_the_line():
            pass
        now, line = self.clock(), self.book.line()
        turns = (self.yields_at(lease, claim) for lease in self.book.claims.values() for claim in line)
        self.turn_ends = min((turn for turn in turns if turn > now), default=FOREVER)
        for position, claim in enumerate(line, start=1):
            if claim.told_place != position:
                claim.told_place = position
                available = self.book.most_room(claim.ask.device_id)
                self.entries.events.append(Moved(claim, position, claim.growing_to or claim.bytes, available))

    def go_down_the_line(self) -> bool:
        """Grants and asks back, in order of rank. Returns whether a group got its card: then the others of it have fewer places to go."""
        settled = True
        kept: dict[str, Kept] = {}
        for claim in self.book.line():
            if claim.state is not ClaimState.WAITING and claim.growing_to is None:
                continue
            options = [claim.card] if claim.card else self.book.homes(claim.ask)
            options = [card for card in options if (claim.growing_to or claim.bytes) <= card.total]
            if not options:  # its group lies on a smaller card for now
                continue
            open_to = [card for card in options if self.may_enter(claim, card, kept.get(card.device_id))]
            free = [card for card in open_to if self.book.room(card) >= claim.need]
            if free:
                settled = settled and (claim.growing_to is not None or not claim.ask.group)
                self.entries.grant(claim, min(free, key=self.book.room))
                continue
            self.make_room(claim, [card for card in options if self.may_clear(claim, card, kept.get(card.device_id))])
            card = min(options, key=lambda card: self.book.missing(claim, card))
            # While its room is on the way nobody passes it; else those do that it could revoke. A lease that could itself
            # be revoked for another does not keep more room from that one.
            if self.book.missing(claim, card) <= 0:
                kept.setdefault(card.device_id, Kept(claim, 0)).below = 0
            elif claim.growing_to is None or not claim.ask.preemptible:
                keeper = kept.setdefault(card.device_id, Kept(claim, claim.ask.priority))
                keeper.below = min(keeper.below, claim.ask.priority)
        return not settled

    def make_room(self, claim: Claim, cards: Sequence[Card]) -> None:
        """Revokes the cheapest leases that stand in the way of `claim`, unless enough is on its way back already."""
        if any(self.book.missing(claim, card) <= 0 for card in cards):
            return
        worth = self.book.worth
        sets = [victims(self.yielding(card, claim), self.book.missing(claim, card), worth) for card in cards]
        for victim in min((chosen for chosen in sets if chosen), key=lambda one: cost(one, worth), default=()):
            self.entries.revoke(victim, RevokeCause.PREEMPTED, self.rules.grace)

    def yields_at(self, lease: Claim, claim: Claim) -> float:
        """From when on `lease` may be revoked for `claim`; FOREVER where never."""
        if lease is claim or lease.state is not ClaimState.HELD or not lease.ask.preemptible or lease.kin(claim):
            return FOREVER
        worth = self.book.worth(lease)
        if worth == claim.ask.priority:
            # Groups that wait for each other's end would stand still until the turn is over.
            at_once = self.book.stalled(lease) and any(
                self.book.stalled(own) for own in self.book.holders() if own.kin(claim) and own.ask.preemptible
            )
            return lease.since if at_once else lease.since + self.rules.turn
        return lease.since if worth < claim.ask.priority else FOREVER

    def yielding(self, card: Card, claim: Claim) -> list[Claim]:
        """Leases of `card` that may be revoked for `claim` now."""
        now = self.clock()
        return [lease for lease in self.book.on(card) if self.yields_at(lease, claim) <= now]

    def may_enter(self, claim: Claim, card: Card, kept: Kept | None) -> bool:
        """Whether `claim` may take room of `card`, for which `kept` waits: where it is lower and can be revoked, or where a group can't
        come to its end without it, and `kept` waits for that end.
        """
        if kept is None or claim.growing_to is not None:
            # Leases that grow pass each other: one that waits for the other's end must not hold it up.
            return True
        return (claim.ask.preemptible and claim.ask.priority < kept.below) or self.may_clear(claim, card, kept)

    def may_clear(self, claim: Claim, card: Card, kept: Kept | None) -> bool:
        """Whether others may be revoked for `claim` on `card`, for which `kept` waits."""
        return kept is None or (self.book.completes(claim, card) and self.waits_for_groups(kept.first, card))

    def waits_for_groups(self, claim: Claim, card: Card) -> bool:
        """Whether `claim` would find too little on `card` even when all that is done beside weights there has ended."""
        soon = self.book.passing(card) + sum(lease.bytes for lease in self.yielding(card, claim))
        return self.book.missing(claim, card) > soon
