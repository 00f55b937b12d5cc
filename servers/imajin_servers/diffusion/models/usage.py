"""What this process has of its card, and the leases that it has it by."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakSet

import torch

from imajin_servers.diffusion.models.device import reserved_bytes
from imajin_servers.runtime.leases import HeldLease


class Usage:
    """Leases of `device`, and what PyTorch has there. All models share one; use it in the event loop."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.weights: WeakSet[HeldLease] = WeakSet()
        """Of weights that are on the card."""
        self.drawings: WeakSet[HeldLease] = WeakSet()
        """Of what is drawn beside them."""

    def tell(self) -> None:
        """Tells the vram server what drawings use: what PyTorch has beside the weights, shared out by the sizes of their leases."""
        reserved, leased = reserved_bytes(self.device), held(self.drawings)
        if reserved is None or not leased:
            return
        beside = max(reserved - held(self.weights), 0)
        for lease in self.drawings:
            if lease.held:
                lease.report_used(min(lease.bytes * beside // leased, lease.bytes))

    def covered(self) -> bool:
        """Whether PyTorch has no more than is leased."""
        return (reserved_bytes(self.device) or 0) <= held(self.weights) + held(self.drawings)


def held(leases: Iterable[HeldLease]) -> int:
    """Bytes of those of `leases` that are held."""
    return sum(lease.bytes for lease in leases if lease.held)
