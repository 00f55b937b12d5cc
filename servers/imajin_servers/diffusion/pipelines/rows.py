"""Makes a batch give each run the bits that it gets alone.

Measured on CPUs: of all operations of a denoiser only the linear layers over single vectors (the embedding of the time)
change their bits with the number of rows, because tiny products take other kernels. Those are computed a run at a time.
Cost: microseconds. Whether that was all, on this machine and for this shape, `Stepwise.probe` finds out.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


class Rows:
    """Splits what the parts of `network` that are named in `vectors` get, `(rows, features)`, into the rows of each run."""

    def __init__(self, network: nn.Module, vectors: Sequence[str]) -> None:
        self.network = network
        self.vectors = vectors
        self.counts: list[int] = []
        """Always the same list: it is all that the layers refer to, or they would keep the network alive in a circle."""
        self.cover()

    def cover(self) -> None:
        """Takes in those layers that came since."""
        for name, module in self.network.named_modules():
            named = any(part in self.vectors for part in name.split("."))
            if named and isinstance(module, nn.Linear) and "forward" not in vars(module):
                setattr(module, "forward", splitting(module, self.counts))  # noqa: B010 (a type checker takes it for a method)

    @contextmanager
    def of(self, counts: Sequence[int]) -> Iterator[None]:
        """Within, a pass holds `counts` rows of each run."""
        self.counts[:] = counts if len(counts) > 1 else []
        try:
            yield
        finally:
            self.counts.clear()


def splitting(layer: nn.Linear, counts: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """`layer.forward`, a run at a time while there are `counts` of rows."""
    me = weakref.ref(layer)

    def split(rows: torch.Tensor) -> torch.Tensor:
        layer = me()
        assert layer is not None
        forward = type(layer).forward
        if not counts:
            return forward(layer, rows)
        return torch.cat([forward(layer, part) for part in torch.split(rows, counts)])

    return split
