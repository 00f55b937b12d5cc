"""The book that the ledger keeps: cards, claims, and the sums over them. Bytes throughout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imajin_servers.runtime.errors import LeaseLost, NotFound
from imajin_servers.vram.claims import Ask, Card, Claim, ClaimState


class Book:
    """Cards and claims."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self.cards = {card.device_id: card for card in cards}
        self.claims: dict[str, Claim] = {}

    def options(self, device_id: str) -> list[Card]:
        """The cards that a claim may lie on: one, or all where `device_id` is empty. Raises NotFound."""
        if not device_id:
            return list(self.cards.values())
        if device_id not in self.cards:
            raise NotFound(f"no card {device_id!r}", metadata={"name": device_id})
        return [self.cards[device_id]]

    def homes(self, ask: Ask) -> list[Card]:
        """The cards that `ask` may lie on, that of its group where that holds leases already. Raises NotFound."""
        options = self.options(ask.device_id)
        taken = [
            claim.card for claim in self.claims.values() if claim.card and ask.group and claim.ask.group == ask.group
        ]
        return [card for card in options if card in taken] if taken else options

    def staying(self, ask: Ask, card: Card) -> int:
        """Bytes of `card` that waiting does not free for `ask`: its own group holds them until `ask` is done."""
        return sum(
            claim.bytes
            for claim in self.on(card)
            if ask.group and claim.ask.group == ask.group and claim.ask.preemptible
        )

    def beside(self, lease: Claim) -> Iterator[Claim]:
        """Claims, held or waiting, of what is done beside a preemptible `lease` of their group."""
        return (claim for claim in self.claims.values() if claim.kin(lease) and not claim.ask.preemptible)

    def worth(self, lease: Claim) -> int:
        """What weighs against asking it back: nothing while it is idle, else the highest priority of what is done beside it, its own where nothing is."""
        if lease.idle:
            return -1
        return max((claim.ask.priority for claim in self.beside(lease)), default=lease.ask.priority)

    def stalled(self, lease: Claim) -> bool:
        """Whether all that is to be done beside `lease` waits for more than its card has."""
        if lease.card is None:
            return False
        room, beside = self.room(lease.card), list(self.beside(lease))
        return bool(beside) and all(not claim.held and claim.need > room for claim in beside)

    def completes(self, claim: Claim, card: Card) -> bool:
        """Whether a group that holds memory of `card` can't go on without `claim`: weights without what is done beside them, or the reverse."""
        return any(
            other.kin(claim) and other.state is ClaimState.HELD and other.ask.preemptible != claim.ask.preemptible
            for other in self.on(card)
        )

    def passing(self, card: Card) -> int:
        """Bytes of `card` that are given back soon: of what is done beside weights that are there."""
        return sum(claim.bytes for claim in self.on(card) if not claim.ask.preemptible and self.completes(claim, card))

    def lease(self, lease_id: str, token: int) -> Claim:
        """The lease of that id and token. Raises LeaseLost."""
        claim = self.claims.get(lease_id)
        if claim is None or not claim.held or claim.token != token:
            raise lost(lease_id)
        return claim

    def waiting(self) -> list[Claim]:
        """Claims that wait, in order of rank."""
        claims = [claim for claim in self.claims.values() if claim.state is ClaimState.WAITING]
        return sorted(claims, key=lambda claim: claim.rank)

    def growing(self) -> list[Claim]:
        """Leases that wait for more, in order of rank."""
        claims = [claim for claim in self.claims.values() if claim.growing_to is not None]
        return sorted(claims, key=lambda claim: claim.rank)

    def line(self) -> list[Claim]:
        """Whoever waits. Leases that grow go first: the others may be waiting for them."""
        return self.growing() + self.waiting()

    def holders(self) -> list[Claim]:
        """Whoever holds, in order of grant."""
        return sorted((claim for claim in self.claims.values() if claim.held), key=lambda claim: claim.token)

    def on(self, card: Card) -> Iterator[Claim]:
        """Whoever holds memory of a card."""
        return (claim for claim in self.claims.values() if claim.card is card)

    def leased(self, card: Card) -> int:
        """Bytes leased."""
        return sum(claim.bytes for claim in self.on(card))

    def room(self, card: Card) -> int:
        """Bytes that can still be leased: not leased, and free by the driver's word beyond what holders have yet to use."""
        room = card.total - self.leased(card)
        if card.used is not None:
            yet_to_use = sum(claim.bytes - claim.in_use for claim in self.on(card))
            room = min(room, card.total - card.used - yet_to_use)
        return max(room, 0)

    def most_room(self, device_id: str) -> int:
        """Bytes free on the card with the most room among those that a claim may lie on."""
        return max((self.room(card) for card in self.options(device_id)), default=0)

    def coming(self, card: Card) -> int:
        """Bytes on their way back: asked back, or given back and not yet shown as free by the driver."""
        asked_back = sum(claim.bytes for claim in self.on(card) if claim.state is ClaimState.REVOKING)
        not_shown = card.total - self.leased(card) - self.room(card)
        return asked_back + min(card.freed, not_shown)

    def missing(self, claim: Claim, card: Card) -> int:
        """Bytes that must still be asked back so that `claim` fits on `card`; 0 or less when enough is on its way."""
        return claim.need - self.room(card) - self.coming(card)

    def growth_can_end(self, claim: Claim, card: Card) -> bool:
        """Whether `claim` and all that grow beside it can be served once the other leases are gone: released, or revoked
        for it (the banker's algorithm).
        """
        growing = [
            other
            for other in self.on(card)
            if other.growing_to is not None and not (other.ask.preemptible and other.ask.priority < claim.ask.priority)
        ]
        room = card.total - sum(other.bytes for other in growing)
        while growing:
            served = [other for other in growing if other.need <= room]
            if not served:
                return False
            room += sum(other.bytes for other in served)
            growing = [other for other in growing if other not in served]
        return True


def lost(lease_id: str) -> LeaseLost:
    """The error of a lease that is not held."""
    return LeaseLost(f"lease {lease_id} is no longer held", metadata={"lease_id": lease_id})
