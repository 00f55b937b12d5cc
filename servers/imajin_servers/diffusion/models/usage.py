"""What this process has of its card, and the leases that it has it by."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakSet

from imajin_servers.runtime.leases import HeldLease


class Usage:
    """Leases of one card, and what they say. All models share one; use it in the event loop."""

    def __init__(self) -> None:
        self.weights: WeakSet[HeldLease] = WeakSet()
        """Of weights that are on the card."""
        self.drawings: WeakSet[HeldLease] = WeakSet()
        """Of what is drawn beside them."""

    def tell(self, reserved: int) -> None:
        """Tells the vram server what drawings use: what PyTorch has beside the weights, of `reserved` bytes in all, shared out by the
        sizes of their leases.
        """
        leased = held(self.drawings)
        if not leased:
            return
        beside = max(reserved - held(self.weights), 0)
        for lease in self.drawings:
            if lease.held:
                lease.report_used(min(lease.bytes * beside // leased, lease.bytes))

    def covers(self, reserved: int) -> bool:
        """Whether `reserved` bytes are no more than is leased."""
        return reserved <= held(self.weights) + held(self.drawings)


def held(leases: Iterable[HeldLease]) -> int:
    """Bytes of those of `leases` that are held."""
    return sum(lease.bytes for lease in leases if lease.held)
