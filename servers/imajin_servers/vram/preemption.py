"""Which leases to revoke for another: the cheapest set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from imajin_servers.vram.claims import Claim


def victims(held: Iterable[Claim], need: int, worth: Callable[[Claim], int]) -> list[Claim] | None:
    """The cheapest set of leases out of `held` that frees `need` bytes; None where even all of them free less.

    All of `held` may be revoked. Idle leases are the cheapest, the longest idle first. Where they do not suffice, a set is
    cheaper than another when its highest `worth` is lower, then when it is smaller, then when its last lease frees less.
    """
    leases = list(held)
    if sum(claim.bytes for claim in leases) < need:
        return None
    idle = sorted((claim for claim in leases if claim.idle), key=lambda claim: (claim.since, claim.token))
    if sum(claim.bytes for claim in idle) >= need:
        return longest_idle(idle, need)
    eligible = sorted(leases, key=lambda claim: (worth(claim), -claim.bytes, -claim.token))
    pool: list[Claim] = []
    while sum(claim.bytes for claim in pool) < need:
        pool.append(eligible[len(pool)])
    ceiling = worth(pool[-1]) if pool else 0
    pool = [claim for claim in eligible if worth(claim) <= ceiling]
    pool.sort(key=lambda claim: (-claim.bytes, worth(claim), -claim.token))
    chosen: list[Claim] = []
    missing = need
    while missing > 0:
        enough = [claim for claim in pool if claim.bytes >= missing]
        pick = enough[-1] if enough else pool[0]
        pool.remove(pick)
        chosen.append(pick)
        missing -= pick.bytes
    return chosen


def longest_idle(idle: Iterable[Claim], need: int) -> list[Claim]:
    """Leases out of `idle` (the longest idle first) that together free `need` bytes, without those that the rest makes needless."""
    chosen: list[Claim] = []
    spare = -need
    for claim in idle:
        if spare >= 0:
            break
        chosen.append(claim)
        spare += claim.bytes
    for claim in reversed(chosen.copy()):
        if claim.bytes <= spare:
            chosen.remove(claim)
            spare -= claim.bytes
    return chosen


def cost(chosen: Iterable[Claim], worth: Callable[[Claim], int]) -> tuple[int, int, int]:
    """What revoking `chosen` costs, to compare cards: highest `worth`, number, bytes."""
    leases = list(chosen)
    return (
        max((worth(claim) for claim in leases), default=0),
        len(leases),
        sum(claim.bytes for claim in leases),
    )
