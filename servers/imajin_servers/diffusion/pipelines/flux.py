"""FLUX.1: two text encoders, and the guidance either heard as an embedding or against a negative prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.stepwise import joined
from imajin_servers.diffusion.pipelines.tokens import StepwiseTokens


class StepwiseFlux(StepwiseTokens):
    """FLUX.1 dev, schnell and what is tuned from them."""

    vectors = ("time_text_embed", "norm", "norm1", "norm1_context", "norm_out")

    def guides(self, order: Order) -> bool:
        """Distilled models hear the guidance as a number and have no negative prompt."""
        return order.guided and not self.denoiser.config.guidance_embeds

    def hear(self, order: Order, prompt: str) -> Conditioning:
        """The prompt through both text encoders, with the places of its words and of the picture's patches."""
        embeddings, pooled, places = self.pipe.encode_prompt(
            prompt, device=self.device, max_sequence_length=order.model.prompt_tokens
        )
        return self.conditioning(order, embeddings, pooled, places)

    def conditioning(
        self, order: Order, embeddings: torch.Tensor, pooled: torch.Tensor, places: torch.Tensor
    ) -> Conditioning:
        """What the transformer hears, from the embeddings of a prompt."""
        width, height = self.drawn_size(order)
        grid = self.pipe._prepare_latent_image_ids(
            1, height // self.multiple, width // self.multiple, self.device, embeddings.dtype
        )
        return Conditioning(embeddings, {"pooled": pooled, "places": places, "grid": grid})

    def extras(self, runs: Sequence[Run], heard: Sequence[Conditioning]) -> dict[str, Any]:
        """What the transformer takes beside latents, times and embeddings."""
        guidance = None
        if self.denoiser.config.guidance_embeds:
            # Filled on the device: numbers that are copied there from a list are waited for.
            guidance = joined(
                [torch.full((1,), run.order.guidance_scale, device=self.device, dtype=torch.float32) for run in runs]
            )
        return {
            "pooled_projections": joined([one.added["pooled"] for one in heard]),
            "guidance": guidance,
            "txt_ids": heard[0].added["places"],
            "img_ids": heard[0].added["grid"],
        }
