"""What a step costs by kind and batch size, and which batches are worth it: measured, never assumed.

A batch size is used when it was seen to give each run the very bits that it gets alone, and to be faster than one after
the other. Kernels are chosen by shape, so what held for a shape on this machine holds again: two probes settle it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

PROBES = 2
GAIN = 0.97
"""A batch must take less than this share of the time of its runs one after the other."""
WEIGHT = 0.2
"""Of the newest step in the moving average."""


@dataclass
class Size:
    """What is known about one batch size of one kind."""

    probes: int = 0
    exact: bool = True
    together: float = float("inf")
    apart: float = float("inf")

    @property
    def settled(self) -> bool:
        """Whether it needs no more probes."""
        return not self.exact or self.probes >= PROBES

    @property
    def good(self) -> bool:
        """Whether it gives the same bits, faster."""
        return self.exact and self.together < GAIN * self.apart


@dataclass
class Profile:
    """Costs and verdicts of one model. `largest` is the batch size that is never exceeded."""

    largest: int
    guess: float = 0.1
    """Seconds of a step of a kind that was never seen."""
    steps: dict[Hashable, float] = field(default_factory=dict)
    sizes: dict[tuple[Hashable, int], Size] = field(default_factory=dict)

    def cost(self, kind: Hashable) -> float:
        """Seconds of a step alone."""
        return self.steps.get(kind, self.guess)

    def stepped(self, kind: Hashable, seconds: float) -> None:
        """Takes note of a step alone."""
        known = self.steps.get(kind)
        self.steps[kind] = seconds if known is None else known + WEIGHT * (seconds - known)

    def probed(self, kind: Hashable, count: int, exact: bool, together: float, apart: float) -> None:
        """Takes note of a probe: whether the bits were the same, seconds in one pass and one after the other."""
        size = self.sizes.setdefault((kind, count), Size())
        size.probes += 1
        size.exact = size.exact and exact
        # The least of each: a busy machine makes steps longer, never shorter.
        size.together = min(size.together, together)
        size.apart = min(size.apart, apart)

    def unsettled(self, kind: Hashable, count: int) -> bool:
        """Whether a batch of `count` is worth a probe: nothing is known for sure, and it is no larger than allowed."""
        if not 1 < count <= self.largest:
            return False
        size = self.sizes.get((kind, count))
        return size is None or not size.settled

    def cap(self, kind: Hashable, count: int) -> int:
        """How many of `count` runs should share a pass: the most that may be tried, else the cheapest a run."""
        count = min(count, self.largest)
        if self.unsettled(kind, count):
            return count
        known = {n: self.sizes.get((kind, n)) for n in range(2, count + 1)}
        good = {n: size.together / n for n, size in known.items() if size is not None and size.good}
        return min(good, key=lambda n: good[n]) if good else 1
