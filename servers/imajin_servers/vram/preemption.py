"""Which leases to revoke for another: the cheapest set."""

from __future__ import annotations

from collections.abc import Iterable

from imajin_servers.vram.claims import Claim, ClaimState


def victims(held: Iterable[Claim], need: int, below: int) -> list[Claim] | None:
    """The cheapest preemptible leases, of priority under `below`, that free `need` bytes together; None where all don't.

    Cheapest is, in this order: the highest priority among them is the lowest possible, they are the fewest, and the
    last one of them frees the least that still does.
    """
    eligible = sorted(
        (
            claim
            for claim in held
            if claim.state is ClaimState.HELD and claim.ask.preemptible and claim.ask.priority < below
        ),
        key=lambda claim: (claim.ask.priority, -claim.bytes, -claim.token),
    )
    pool: list[Claim] = []
    while sum(claim.bytes for claim in pool) < need:
        if len(pool) == len(eligible):
            return None
        pool.append(eligible[len(pool)])
    ceiling = pool[-1].ask.priority if pool else 0
    pool = [claim for claim in eligible if claim.ask.priority <= ceiling]
    pool.sort(key=lambda claim: (-claim.bytes, claim.ask.priority, -claim.token))
    chosen: list[Claim] = []
    missing = need
    while missing > 0:
        enough = [claim for claim in pool if claim.bytes >= missing]
        pick = enough[-1] if enough else pool[0]
        pool.remove(pick)
        chosen.append(pick)
        missing -= pick.bytes
    return chosen


def cost(chosen: Iterable[Claim]) -> tuple[int, int, int]:
    """What revoking `chosen` costs, to compare cards: highest priority, number, bytes."""
    leases = list(chosen)
    return (
        max((claim.ask.priority for claim in leases), default=0),
        len(leases),
        sum(claim.bytes for claim in leases),
    )
