"""Who is next, and who makes room.

Rank is the time of arrival less `ageing` seconds for each point of priority. Waiting raises everyone alike, so a claim is
overtaken only by those that arrive within the worth of 100 points after it, and nobody starves. The first claim that does not
fit keeps the card where it lacks least: nobody behind it may take room there, except for leases that it could revoke at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imajin_servers.vram.book import Book
from imajin_servers.vram.claims import FOREVER, Card, Claim, ClaimState, Moved, RevokeCause
from imajin_servers.vram.entries import Entries
from imajin_servers.vram.preemption import cost, victims
from imajin_servers.vram.rules import Rules


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
        kept: dict[str, int] = {}
        for claim in self.book.line():
            if claim.state is not ClaimState.WAITING and claim.growing_to is None:
                continue
            options = [claim.card] if claim.card else self.book.homes(claim.ask)
            options = [card for card in options if (claim.growing_to or claim.bytes) <= card.total]
            if not options:  # its group lies on a smaller card for now
                continue
            open_to = [card for card in options if may_enter(claim, kept.get(card.device_id))]
            free = [card for card in open_to if self.book.room(card) >= claim.need]
            if free:
                settled = settled and (claim.growing_to is not None or not claim.ask.group)
                self.entries.grant(claim, min(free, key=self.book.room))
                continue
            self.make_room(claim, [card for card in options if card.device_id not in kept])
            card = min(options, key=lambda card: self.book.missing(claim, card))
            # While its room is on the way nobody passes it; else those do that it could revoke. A lease that could itself
            # be revoked for another does not keep more room from that one.
            if self.book.missing(claim, card) <= 0:
                kept[card.device_id] = 0
            elif claim.growing_to is None or not claim.ask.preemptible:
                kept[card.device_id] = min(claim.ask.priority, kept.get(card.device_id, claim.ask.priority))
        return not settled

    def make_room(self, claim: Claim, cards: Sequence[Card]) -> None:
        """Revokes the cheapest leases that stand in the way of `claim`, unless enough is on its way back already."""
        if any(self.book.missing(claim, card) <= 0 for card in cards):
            return
        now = self.clock()
        sets = [
            victims((c for c in self.book.on(card) if self.yields_at(c, claim) <= now), self.book.missing(claim, card))
            for card in cards
        ]
        for victim in min((chosen for chosen in sets if chosen), key=cost, default=()):
            self.entries.revoke(victim, RevokeCause.PREEMPTED, self.rules.grace)

    def yields_at(self, lease: Claim, claim: Claim) -> float:
        """From when on `lease` may be revoked for `claim`; FOREVER where never."""
        if lease is claim or lease.state is not ClaimState.HELD or not lease.ask.preemptible or lease.kin(claim):
            return FOREVER
        if lease.worth == claim.ask.priority:
            return lease.since + self.rules.turn
        return lease.since if lease.worth < claim.ask.priority else FOREVER


def may_enter(claim: Claim, kept_below: int | None) -> bool:
    """Whether `claim` may take room of a card.

    `kept_below` is None where nobody keeps the card; else only preemptible leases below that priority may enter.
    """
    if kept_below is None or claim.growing_to is not None:
        # Leases that grow pass each other: one that waits for the other's end must not hold it up.
        return True
    return claim.ask.preemptible and claim.ask.priority < kept_below
