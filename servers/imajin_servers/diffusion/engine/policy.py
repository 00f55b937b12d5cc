"""Who takes the next step: pure, without torch and without a clock of its own.

Runs are served in the order of `arrived + remaining - ageing * priority`, in seconds, smallest first:
shortest remaining time first, which has the least mean latency, with the arrival in it so that nobody starves: a run's
rank only gets better while it runs and never gets worse while it waits, and whoever comes later starts behind.
A run that can still be in time, if it is served soon, counts as `HURRY` points of priority more. No more than that: tight
deadlines must not starve those who set none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

HURRY = 100
"""What priorities span."""


@dataclass(frozen=True)
class Candidate:
    """A run that could take a step. Runs of the same `kind` fit into one forward pass; a run of kind None goes alone."""

    id: int
    kind: Hashable | None
    priority: int
    arrived: float
    """Seconds, on any clock."""
    remaining: float
    """Estimate of the time it still needs alone, in seconds."""
    time_left: float | None = None
    """Seconds until its deadline; None where it has none."""

    @property
    def hurries(self) -> bool:
        """Whether it will be late if it waits for as long as it takes, and needn't be."""
        return self.time_left is not None and self.remaining <= self.time_left < 2 * self.remaining


def ranked(candidates: Sequence[Candidate], ageing: float) -> list[Candidate]:
    """`candidates` in the order in which they are served; `ageing` is the seconds of waiting that a point of priority weighs."""

    def rank(candidate: Candidate) -> tuple[float, int]:
        priority = candidate.priority + (HURRY if candidate.hurries else 0)
        return candidate.arrived + candidate.remaining - ageing * priority, candidate.id

    return sorted(candidates, key=rank)


def next_batch(candidates: Sequence[Candidate], ageing: float, cap: Callable[[Hashable, int], int]) -> list[Candidate]:
    """The runs that take the next step together: the first in rank and those of its kind.

    `cap(kind, n)` says how many of `n` runs that are there should share a pass, 1 to `n`.
    """
    order = ranked(candidates, ageing)
    if not order:
        return []
    leader = order[0]
    if leader.kind is None:
        return [leader]
    company = [candidate for candidate in order if candidate.kind == leader.kind]
    return company[: max(1, min(cap(leader.kind, len(company)), len(company)))]
