"""Qwen-Image: a language model as text encoder, prompts of their own length, an autoencoder of films."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import torch

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.autoencoding import sampled
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.tokens import StepwiseTokens
from imajin_servers.diffusion.sources import Pixels


class RotaryTables:
    """The tables of diffusers' rotary embedding `rope`, cached with the instance and for a few sizes only.

    Diffusers caches them on the class, which keeps every `rope` that ever was, and up to 128 sizes of its tables, some MiB each,
    on the card for good.
    """

    SIZES = 8

    def __init__(self, rope: Any) -> None:
        self.caches = []
        cached = {name: method for name, method in vars(type(rope)).items() if hasattr(method, "__wrapped__")}
        for name, method in cached.items():
            # A proxy: the rope must not hold itself.
            uncached = partial(method.__wrapped__, weakref.proxy(rope))
            self.caches.append(lru_cache(self.SIZES)(uncached))
            setattr(rope, name, self.caches[-1])

    def clear(self) -> None:
        """Lets go of all tables."""
        for cache in self.caches:
            cache.cache_clear()


class StepwiseQwen(StepwiseTokens):
    """Qwen-Image and what is tuned from it."""

    vectors = ("time_text_embed", "img_mod", "txt_mod", "norm_out")

    def __init__(self, pipe: Any, scheduler: str | None = None) -> None:
        super().__init__(pipe, scheduler)
        self.rotary_tables = RotaryTables(self.denoiser.pos_embed)

    def move(self, device: torch.device) -> None:
        """See Autoencoding; the transformer's rotary tables are made anew."""
        self.rotary_tables.clear()
        super().move(device)

    def hear(self, order: Order, prompt: str) -> Conditioning:
        """The prompt through the language model: alone it needs no mask."""
        embeddings, _ = self.pipe.encode_prompt(
            prompt, device=self.device, max_sequence_length=order.model.prompt_tokens
        )
        return Conditioning(embeddings)

    def extras(self, runs: Sequence[Run], heard: Sequence[Conditioning]) -> dict[str, Any]:
        """What the transformer takes beside latents, times and embeddings."""
        tokens = [(1, run.latents.shape[2] // 2, run.latents.shape[3] // 2) for run in runs]
        return {
            "guidance": None,
            "encoder_hidden_states_mask": None,
            "img_shapes": [[shape] for shape in tokens],
            "attention_kwargs": {},
        }

    def guide(self, run: Run, negative: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """Both predictions in one, each token as long as the prompt's own."""
        wanted = self.packed(positive)
        mixed = super().guide(run, self.packed(negative), wanted)
        lengths = torch.norm(wanted, dim=-1, keepdim=True) / torch.norm(mixed, dim=-1, keepdim=True)
        return self.unpacked(mixed * lengths, run.latents)

    def hidden(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`image` `(1, 3, height, width)` from -1 to 1 as latents for the denoiser: the only frame of a film."""
        vae = self.pipe.vae
        latents = sampled(vae.encode(image.unsqueeze(2)), generator)
        mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
        inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
        return ((latents - mean) * inverse)[:, :, 0]

    def latents_of(self, vae: Any, images: torch.Tensor) -> torch.Tensor:
        """`images` `(n, 3, height, width)` from -1 to 1 as the denoiser's latents, in float32 on the CPU."""
        code = vae.encode(images.unsqueeze(2).to(vae.device, vae.dtype)).latent_dist.mean[:, :, 0].float().cpu()
        mean, spread = (
            torch.tensor(one).view(1, -1, 1, 1) for one in (vae.config.latents_mean, vae.config.latents_std)
        )
        latents: torch.Tensor = (code - mean) / spread
        return latents

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`: the only frame of a film."""
        vae = self.pipe.vae
        frame = latents.unsqueeze(2).to(vae.dtype)
        mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(frame.device, frame.dtype)
        inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(frame.device, frame.dtype)
        return self.pixels(vae.decode(frame / inverse + mean, return_dict=False)[0][:, :, 0])
