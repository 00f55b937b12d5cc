"""FLUX.2 klein: one language model as text encoder, an autoencoder that counts in patches."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from torch.nn import functional

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.flow import PATCH
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.tokens import StepwiseTokens
from imajin_servers.diffusion.sources import Pixels

REFERENCE = 10
"""Where on the axis of time a picture stands that the model is shown; what it draws stands at 0."""


class StepwiseFlux2(StepwiseTokens):
    """FLUX.2 klein, base and distilled."""

    vectors = (
        "time_guidance_embed",
        "double_stream_modulation_img",
        "double_stream_modulation_txt",
        "single_stream_modulation",
        "norm_out",
    )

    @property
    def channels(self) -> int:
        """Channels of the latents, those of a patch in one."""
        return int(self.denoiser.config.in_channels)

    @property
    def cell(self) -> int:
        """Pixels of a picture's side that one latent stands for: a whole patch."""
        return self.multiple

    def guides(self, order: Order) -> bool:
        """Distilled models take no guidance."""
        return order.guided and not self.pipe.config.is_distilled

    def shift(self, tokens: int, steps: int) -> float:
        """How far the times are shifted, by size and by number of steps."""
        return float(compute_empirical_mu(tokens, steps))

    def hear(self, order: Order, prompt: str) -> Conditioning:
        """The prompt through the text encoder, with the places of its words and of the picture's patches."""
        embeddings, places = self.pipe.encode_prompt(
            prompt, device=self.device, max_sequence_length=order.model.prompt_tokens
        )
        width, height = self.drawn_size(order)
        empty = torch.empty(1, 1, height // self.cell, width // self.cell)
        return Conditioning(
            embeddings, {"places": places, "grid": self.pipe._prepare_latent_ids(empty).to(self.device)}
        )

    def extras(self, runs: Sequence[Run], heard: Sequence[Conditioning]) -> dict[str, Any]:
        """What the transformer takes beside latents, times and embeddings."""
        grid = heard[0].added["grid"]
        if runs[0].known is not None:
            # The same places as the picture's, at another time.
            grid = torch.cat([grid, grid + grid.new_tensor([REFERENCE, 0, 0, 0])], dim=1)
        return {"guidance": None, "txt_ids": heard[0].added["places"], "img_ids": grid}

    def packed(self, latents: torch.Tensor) -> torch.Tensor:
        """`(1, channels, height, width)` as tokens, `(1, height * width, channels)`."""
        return latents.flatten(2).permute(0, 2, 1)

    def unpacked(self, tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Tokens in the shape of the latents that they were packed from; those of a picture that was shown are left out."""
        tokens = tokens[:, : like.shape[2] * like.shape[3]]
        return tokens.permute(0, 2, 1).reshape(like.shape)

    def hidden(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`image` `(1, 3, height, width)` from -1 to 1 as latents for the denoiser: the likeliest, none is drawn."""
        code = functional.pixel_unshuffle(self.pipe.vae.encode(image).latent_dist.mode(), PATCH)
        mean, spread = batch_norm(self.pipe.vae, code)
        return (code - mean) / spread

    def masked(self, mask: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """`mask` `(1, 1, height, width)` in pixels, in the size of `latents`: a patch at its border is painted in part."""
        return functional.interpolate(mask, size=latents.shape[-2:], mode="bilinear")

    def pass_rows(self, order: Order) -> int:
        """Rows that a run of `order` takes in a forward pass; the picture that it begins from is as long as another."""
        return super().pass_rows(order) if order.source is None else 2

    def shape(self, run: Run) -> Hashable:
        """What the cost of a step depends on: whether a picture is heard too."""
        return super().shape(run), run.known is not None

    def seen(self, run: Run) -> torch.Tensor:
        """Tokens that the transformer gets of a run: those of its latents, then those of the picture that it begins from."""
        drawn = self.packed(run.latents)
        return drawn if run.known is None else torch.cat([drawn, self.packed(run.known.latents)], dim=1)

    def latents_of(self, vae: Any, images: torch.Tensor) -> torch.Tensor:
        """`images` `(n, 3, height, width)` from -1 to 1 as the denoiser's latents, in float32 on the CPU."""
        code = vae.encode(images.to(vae.device, vae.dtype)).latent_dist.mean
        mean, spread = batch_norm(vae, code)
        return ((functional.pixel_unshuffle(code, PATCH) - mean) / spread).float().cpu()

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`; the autoencoder keeps their mean and spread as a batch norm."""
        vae = self.pipe.vae
        mean, spread = batch_norm(vae, latents)
        code = functional.pixel_shuffle(latents * spread + mean, PATCH)
        return self.pixels(vae.decode(code, return_dict=False)[0])


def batch_norm(vae: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread of the latents of `vae`, `(1, channels, 1, 1)`."""
    mean = vae.bn.running_mean.view(1, -1, 1, 1)
    spread = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps)
    return mean.to(like.device, like.dtype), spread.to(like.device, like.dtype)
