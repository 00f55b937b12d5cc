"""Stable Diffusion XL: two text encoders, and the picture's size as conditioning."""

from __future__ import annotations

from typing import Any

import torch

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.autoencoding import sampled
from imajin_servers.diffusion.pipelines.run import Conditioning
from imajin_servers.diffusion.pipelines.unet import StepwiseUNet
from imajin_servers.diffusion.sources import Pixels


class StepwiseXL(StepwiseUNet):
    """The XL family."""

    @torch.inference_mode()
    def encode(self, order: Order) -> Conditioning:
        """The prompt through both text encoders, and the size."""
        self.adapters.encoders.hear(order.loras)
        positive, negative, pooled, negative_pooled = self.pipe.encode_prompt(
            prompt=order.prompt,
            device=self.device,
            do_classifier_free_guidance=order.guided,
            negative_prompt=order.negative_prompt or None,
        )
        return self.conditioning(order, positive, negative, pooled, negative_pooled)

    def conditioning(
        self,
        order: Order,
        positive: torch.Tensor,
        negative: torch.Tensor | None,
        pooled: torch.Tensor,
        negative_pooled: torch.Tensor | None,
    ) -> Conditioning:
        """What the denoiser hears, from the embeddings of the prompt."""
        width, height = self.drawn_size(order)
        second: Any = self.pipe.text_encoder_2
        times = self.pipe._get_add_time_ids(
            (height, width),
            (0, 0),
            (height, width),
            dtype=positive.dtype,
            text_encoder_projection_dim=second.config.projection_dim if second else int(pooled.shape[-1]),
        )
        if negative is not None and negative_pooled is not None and order.guided:
            positive = torch.cat([negative, positive])
            pooled = torch.cat([negative_pooled, pooled])
            times = torch.cat([times, times])
        added = {"text_embeds": pooled.to(self.device), "time_ids": times.to(self.device)}
        return Conditioning(positive.to(self.device), added)

    def hidden(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`image` `(1, 3, height, width)` from -1 to 1 as latents; in float32 where the autoencoder asks for it."""
        vae = self.pipe.vae
        if vae.config.force_upcast:
            vae.to(dtype=torch.float32)
            latents = sampled(vae.encode(image.float()), generator).to(image.dtype)
            vae.to(dtype=image.dtype)
        else:
            latents = sampled(vae.encode(image), generator)
        mean, deviation = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
        if mean is None or deviation is None:
            scaled: torch.Tensor = vae.config.scaling_factor * latents
            return scaled
        shift = torch.tensor(mean).view(1, -1, 1, 1).to(latents.device, latents.dtype)
        scale = torch.tensor(deviation).view(1, -1, 1, 1).to(latents.device, latents.dtype)
        shifted: torch.Tensor = (latents - shift) * vae.config.scaling_factor / scale
        return shifted

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`; in float32 where the autoencoder overflows in float16."""
        vae = self.pipe.vae
        upcast = vae.dtype == torch.float16 and vae.config.force_upcast
        if upcast:
            self.pipe.upcast_vae()
            latents = latents.to(next(iter(vae.post_quant_conv.parameters())).dtype)
        mean, deviation = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
        if mean is not None and deviation is not None:
            shift = torch.tensor(mean).view(1, -1, 1, 1).to(latents.device, latents.dtype)
            scale = torch.tensor(deviation).view(1, -1, 1, 1).to(latents.device, latents.dtype)
            latents = latents * scale / vae.config.scaling_factor + shift
        else:
            latents = latents / vae.config.scaling_factor
        image = vae.decode(latents, return_dict=False)[0]
        if upcast:
            vae.to(dtype=torch.float16)
        return self.pixels(image)
