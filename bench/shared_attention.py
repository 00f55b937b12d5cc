"""A way of drawing bases that was tried: each of the others attends to the first one's keys and values too, step by step (Hertz et al. 2023,
arXiv:2312.02133, without its normalisation, which gained nothing here).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from imajin_servers.diffusion.pipelines import Run, Stepwise

Heard = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of a base by layer, `(rows, places, channels)` each, in one step."""


class SharedAttention:
    """Self-attention over one's own places and, for a follower, those of the base that goes first. Replaces diffusers' `AttnProcessor2_0`."""

    def __init__(self) -> None:
        self.leads = False
        self.follows = False
        self.heard: Heard = {}

    def __call__(
        self, attention: Any, hidden: torch.Tensor, context: torch.Tensor | None = None, **rest: Any
    ) -> torch.Tensor:
        """`hidden` `(rows, places, channels)` in and out."""
        query, key, value = attention.to_q(hidden), attention.to_k(hidden), attention.to_v(hidden)
        if self.leads:
            self.heard[id(attention)] = key, value
        if self.follows:
            theirs = self.heard[id(attention)]
            key, value = torch.cat([key, theirs[0]], 1), torch.cat([value, theirs[1]], 1)
        split = [part.unflatten(2, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value)]
        made = scaled_dot_product_attention(*split, scale=attention.scale).transpose(1, 2).flatten(2)
        made = attention.to_out[1](attention.to_out[0](made))
        if attention.residual_connection:
            made = made + hidden
        return made / attention.rescale_output_factor

    def draw(self, stepwise: Stepwise, first: Run, others: list[Run]) -> None:
        """All steps of `first`, and after each the same step of the others."""
        with self.placed(stepwise.denoiser):
            while not first.done:
                self.leads = True
                stepwise.step([first])
                self.leads, self.follows = False, True
                for run in others:
                    stepwise.step([run])
                self.follows = False

    @contextmanager
    def placed(self, denoiser: Any) -> Iterator[None]:
        """In all self-attentions of `denoiser`, for the length of a block."""
        before = dict(denoiser.attn_processors)
        denoiser.set_attn_processor({name: self if ".attn1." in name else one for name, one in before.items()})
        try:
            yield
        finally:
            denoiser.set_attn_processor(before)
            self.heard.clear()
