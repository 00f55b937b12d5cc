"""Flow transformers that take the picture as a row of tokens: one pass a prompt, so that a guided run takes two."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.flow import PATCH, StepwiseFlow
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.step_cache import StepCache
from imajin_servers.diffusion.pipelines.stepwise import joined


class StepwiseTokens(StepwiseFlow):
    """What FLUX and Qwen-Image have in common."""

    def __init__(self, pipe: Any, scheduler: str | None = None) -> None:
        super().__init__(pipe, scheduler)
        self.cache = StepCache(self.denoiser) if self.denoiser.is_cache_enabled else None

    def kind(self, run: Run) -> Hashable | None:
        """Runs of one kind may share a pass; where steps are cached each goes alone."""
        return super().kind(run) if self.cache is None else None

    def going_on(self, runs: Sequence[Run], name: str) -> AbstractContextManager[None]:
        """Entered around the pass `name` of `runs`."""
        return nullcontext() if self.cache is None else self.cache.of(runs, name)

    def pass_rows(self, order: Order) -> int:
        """Rows that a run of `order` takes in a forward pass."""
        return 1

    def predict(self, runs: Sequence[Run]) -> list[torch.Tensor]:
        """What the transformer says of each run's latents, `(rows, channels, height, width)` each, the negative row first."""
        positive = self.velocities(runs, [run.conditioning for run in runs], "cond")
        negatives = [run.conditioning.negative for run in runs if run.conditioning.negative is not None]
        if not negatives:
            return positive
        return [torch.cat(both) for both in zip(self.velocities(runs, negatives, "uncond"), positive, strict=True)]

    def velocities(self, runs: Sequence[Run], heard: Sequence[Conditioning], name: str) -> list[torch.Tensor]:
        """One pass: a row a run, each with what it hears. `name` is that of the pass, as the plain pipelines call it."""
        latents = joined([self.seen(run) for run in runs])
        times = joined([run.moment.expand(1) for run in runs]).to(latents.dtype) / 1000
        with self.rows.of([1] * len(runs)), self.going_on(runs, name):
            said = self.denoiser(
                hidden_states=latents.to(self.dtype),
                timestep=times,
                encoder_hidden_states=joined([one.embeddings for one in heard]),
                return_dict=False,
                **self.extras(runs, heard),
            )[0]
        return [self.unpacked(one, run.latents) for one, run in zip(said.split(1), runs, strict=True)]

    def seen(self, run: Run) -> torch.Tensor:
        """Tokens that the transformer gets of a run."""
        return self.packed(run.latents)

    @abstractmethod
    def extras(self, runs: Sequence[Run], heard: Sequence[Conditioning]) -> dict[str, Any]:
        """What the family's transformer takes beside latents, times and embeddings."""

    def packed(self, latents: torch.Tensor) -> torch.Tensor:
        """`(1, channels, height, width)` as tokens, `(1, height/2 * width/2, channels * 4)`."""
        _, channels, height, width = latents.shape
        patches = latents.view(1, channels, height // PATCH, PATCH, width // PATCH, PATCH)
        return patches.permute(0, 2, 4, 1, 3, 5).reshape(1, -1, channels * PATCH**2)

    def unpacked(self, tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Tokens in the shape of the latents that they were packed from."""
        _, channels, height, width = like.shape
        patches = tokens.view(1, height // PATCH, width // PATCH, channels, PATCH, PATCH)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(like.shape)
