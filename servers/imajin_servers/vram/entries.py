"""What happens to claims, written into the book and told: granted, asked back, refused, ended."""

from __future__ import annotations

from collections.abc import Callable

from imajin_servers.vram.book import Book
from imajin_servers.vram.claims import (
    FOREVER,
    Card,
    Claim,
    ClaimState,
    EndCause,
    Ended,
    Event,
    Granted,
    Refused,
    Resized,
    RevokeCause,
    Revoked,
)
from imajin_servers.vram.rules import Rules


class Entries:
    """Changes claims in `book`, and notes the events that their holders must hear of. `clock` gives seconds."""

    def __init__(self, book: Book, clock: Callable[[], float], rules: Rules, first_token: int) -> None:
        self.book = book
        self.clock = clock
        self.rules = rules
        self.next_token = first_token
        self.version = 0
        """Grows with every change that a watcher would see."""
        self.events: list[Event] = []

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
        claim.granted_at = claim.since = now
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

    def refuse(self, claim: Claim, *, draining: bool = False) -> None:
        """Ends a claim that waits, because its time is up, or the server's where it is `draining`."""
        available = self.book.most_room(claim.ask.device_id)
        self.strike(claim)
        self.events.append(Refused(claim, claim.bytes, available, draining))

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
        if card.used is None:
            return
        now = self.clock()
        shown = min(card.shown, bytes) if now <= card.given_by else 0
        card.shown -= shown
        if bytes > shown:
            card.freed += bytes - shown
            card.shown_by = now + self.rules.showing

    def uses(self, claim: Claim) -> None:
        """Counts what the holder of `claim` says is in use: less at once, more when the driver was asked after that. Its last reading
        doesn't contain it yet, and would make the card look emptier than it is.
        """
        if claim.said <= claim.in_use or claim.card is None or claim.card.used is None:
            claim.counted, claim.rising_since = claim.said, FOREVER
        else:
            claim.rising_since = self.clock()

    def observed(self, card: Card, used: int, asked_at: float) -> bool:
        """Takes a driver's reading of `card`; whether it says anything new."""
        before = card.used, card.freed
        drop = (card.used or 0) - used
        if drop > 0:
            waited_for = min(drop, card.freed)
            card.freed -= waited_for
            # Whoever frees memory before giving it back is not waited for again.
            card.shown = drop - waited_for + (card.shown if self.clock() <= card.given_by else 0)
            card.given_by = self.clock() + self.rules.showing
        card.used = used
        risen = [claim for claim in self.book.on(card) if claim.rising_since <= asked_at]
        for claim in risen:
            # What others took over of it, such as what a process keeps in reserve, isn't on its way either.
            card.freed -= min(card.freed, max(claim.said - claim.in_use, 0))
            claim.counted, claim.rising_since = claim.said, FOREVER
        return before != (card.used, card.freed) or bool(risen)
