"""What a step costs by kind and batch size, and which batches are worth it: measured, never assumed.

A batch size is used when it was seen to give each run the very bits that it gets alone, and to be faster than one after
the other. Kernels are chosen by shape, so what held for a shape on this machine holds again. Sizes are powers of two:
few probes settle them.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

PROBES = 2
AGAIN = 500
"""Steps of a kind after which a size that lost gets another probe: the machine may have been busy with something else."""
GAIN = 0.97
"""A batch must take less than this share of the time of its runs one after the other."""
WEIGHT = 0.2
"""Of the newest step in the moving average."""


@dataclass
class Size:
    """What is known about one batch size of one kind."""

    probes: int = 0
    exact: bool = True
    seconds: float = float("inf")
    """Least time of a pass: a busy machine makes passes longer, never shorter."""


@dataclass
class Kind:
    """What is known about runs of one kind."""

    steps: int = 0
    usual: float | None = None
    """Moving average of the seconds of a step alone."""
    least: float = float("inf")
    sizes: dict[int, Size] = field(default_factory=dict)

    def unsettled(self, count: int) -> bool:
        """Whether a batch of `count` is worth a probe."""
        size = self.sizes.get(count, Size())
        tries = PROBES if self.good(count) else PROBES + self.steps // AGAIN
        return size.exact and size.probes < tries

    def good(self, count: int) -> bool:
        """Whether a batch of `count` gives the same bits, faster."""
        size = self.sizes.get(count, Size())
        return size.exact and size.seconds < GAIN * count * self.least


@dataclass
class Profile:
    """Costs and verdicts of one model. `largest` is the batch size that is never exceeded."""

    largest: int
    guess: float = 0.1
    """Seconds of a step of a kind that was never seen."""
    kinds: dict[Hashable, Kind] = field(default_factory=dict)

    def of(self, kind: Hashable) -> Kind:
        """What is known about `kind`."""
        return self.kinds.setdefault(kind, Kind())

    def cost(self, kind: Hashable) -> float:
        """Seconds of a step alone."""
        known = self.kinds.get(kind)
        return self.guess if known is None or known.usual is None else known.usual

    def stepped(self, kind: Hashable, count: int, seconds: float) -> None:
        """Takes note of a pass of `count` runs."""
        known = self.of(kind)
        known.steps += 1
        if count > 1:
            size = known.sizes.setdefault(count, Size())
            size.seconds = min(size.seconds, seconds)
            return
        known.least = min(known.least, seconds)
        known.usual = seconds if known.usual is None else known.usual + WEIGHT * (seconds - known.usual)

    def probed(self, kind: Hashable, count: int, exact: bool, together: float, apart: float) -> None:
        """Takes note of a probe: whether the bits were the same, seconds in one pass and one after the other."""
        self.stepped(kind, count, together)
        self.stepped(kind, 1, apart / count)
        size = self.of(kind).sizes[count]
        size.probes += 1
        size.exact = size.exact and exact

    def failed(self, kind: Hashable, count: int) -> None:
        """Takes note of a pass of `count` runs that found no memory: not worth another try for a while."""
        known = self.of(kind)
        size = known.sizes.setdefault(count, Size())
        size.seconds, size.probes = float("inf"), PROBES + known.steps // AGAIN

    def cap(self, kind: Hashable, count: int) -> int:
        """How many of `count` runs should share a pass: the most that is worth a probe, else the cheapest a run."""
        known = self.of(kind)
        sizes = [size for size in powers(min(count, self.largest)) if size > 1]
        for size in reversed(sizes):
            if known.unsettled(size):
                return size
            if known.good(size):
                break
        good = [size for size in sizes if known.good(size)]
        return min(good, key=lambda size: known.sizes[size].seconds / size) if good else 1


def powers(largest: int) -> list[int]:
    """1, 2, 4... up to `largest`."""
    return [1 << bits for bits in range(largest.bit_length())]
