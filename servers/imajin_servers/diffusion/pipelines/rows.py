"""Makes a batch give each run the bits that it gets alone.

Measured on CPUs: of all operations of a denoiser only the linear layers over single vectors (the embedding of the time)
change their bits with the number of rows, because tiny products take other kernels. Those are computed a run at a time.
Cost: microseconds. Whether that was all, on this machine and for this shape, `Stepwise.probe` finds out.
"""

from __future__ import annotations

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
        self.cover()

    def cover(self) -> None:
        """Takes in those layers that came since."""
        for name, module in self.network.named_modules():
            named = any(part in self.vectors for part in name.split("."))
            if named and isinstance(module, nn.Linear) and "forward" not in vars(module):
                setattr(module, "forward", self.splitting(module.forward))  # noqa: B010 (a type checker takes it for a method)

    @contextmanager
    def of(self, counts: Sequence[int]) -> Iterator[None]:
        """Within, a pass holds `counts` rows of each run."""
        self.counts = list(counts) if len(counts) > 1 else []
        try:
            yield
        finally:
            self.counts = []

    def splitting(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        """`forward`, a run at a time where it gets single vectors."""

        def split(rows: torch.Tensor) -> torch.Tensor:
            if not self.counts:
                return forward(rows)
            return torch.cat([forward(part) for part in torch.split(rows, self.counts)])

        return split
