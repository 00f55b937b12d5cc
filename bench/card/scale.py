"""How large everything is."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Scale:
    """How large everything is: a card's, or a rehearsal's on a CPU."""

    device: torch.device
    tiny: bool
    compiles: bool

    @property
    def cuda(self) -> bool:
        """Whether there is a card."""
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and latents."""
        return torch.bfloat16 if self.cuda else torch.float32

    @property
    def sizes(self) -> list[int]:
        """Pixels of a side, the smallest first."""
        return [128, 192] if self.tiny else [512, 1024]

    @property
    def steps(self) -> int:
        """Denoising steps of a picture."""
        return 6 if self.tiny else 30

    @property
    def repeats(self) -> int:
        """Runs that a median is taken of."""
        return 2 if self.tiny else 3

    @property
    def batches(self) -> list[int]:
        """Runs in a pass, one first."""
        return [1, 2, 4] if self.tiny else [1, 2, 4, 8]
