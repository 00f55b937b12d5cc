"""Transformers trained by flow matching: a velocity for each latent, times shifted by the picture's size.

What the current families of diffusers have in common: patches of two by two latents as tokens, evenly spaced noise levels,
and a `FlowMatchEulerDiscreteScheduler`.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.autoencoding import sampled
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.stepwise import Stepwise
from imajin_servers.diffusion.sources import Pixels

PATCH = 2
"""Latents of a token's side."""


class StepwiseFlow(Stepwise):
    """The transformer families. One says what the transformer hears, and how its autoencoder counts."""

    def __init__(self, pipe: Any, scheduler: str | None = None) -> None:
        super().__init__(pipe, pipe.transformer, scheduler)

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, in pixels."""
        return int(self.pipe.vae_scale_factor) * PATCH

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.denoiser.config.in_channels) // PATCH**2

    @property
    def edits(self) -> bool:
        """Whether it draws from images too: the scheduler must know how much noise a picture is under."""
        return hasattr(self.template, "scale_noise")

    def planned(self, order: Order) -> int:
        """Steps that are made of `order`; these pipelines count those that are left out, so a step begun is a step."""
        if order.source is None:
            return order.steps
        return max(1, order.steps - int(order.steps - order.steps * order.source.strength))

    def hidden(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`image` `(1, 3, height, width)` from -1 to 1 as latents for the denoiser."""
        vae = self.pipe.vae
        latents: torch.Tensor = (
            sampled(vae.encode(image), generator) - vae.config.shift_factor
        ) * vae.config.scaling_factor
        return latents

    def noised(self, scheduler: Any, latents: torch.Tensor, noise: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
        """`latents` under as much of `noise` as there is at `moment`, `(1,)`."""
        under: torch.Tensor = scheduler.scale_noise(latents, moment, noise)
        return under

    @torch.inference_mode()
    def encode(self, order: Order) -> Conditioning:
        """The prompt, and the negative one where the run is guided by it."""
        self.adapters.encoders.hear(order.loras)
        heard = self.hear(order, order.prompt)
        if self.guides(order):
            heard.negative = self.hear(order, order.negative_prompt)
        return heard

    @abstractmethod
    def hear(self, order: Order, prompt: str) -> Conditioning:
        """What the transformer hears of `prompt`, one row."""

    def schedule(self, order: Order) -> Any:
        """A scheduler of the run's own, with its times shifted by the size of the picture."""
        scheduler = type(self.template).from_config(self.template.config)
        width, height = self.drawn_size(order)
        wishes: dict[str, Any] = {"mu": self.shift(width * height // self.multiple**2, order.steps)}
        taken = inspect.signature(scheduler.set_timesteps).parameters
        if "sigmas" in taken and not scheduler.config.get("use_flow_sigmas"):
            wishes["sigmas"] = self.levels(order.steps)
        else:
            wishes["num_inference_steps"] = order.steps
        wishes = {name: value for name, value in wishes.items() if name in taken}
        scheduler.set_timesteps(device=self.device, **wishes)
        if hasattr(scheduler, "set_begin_index"):
            # Otherwise it looks the time up at its first step, and waits for the card to answer.
            scheduler.set_begin_index(0)
        return scheduler

    def levels(self, steps: int) -> Sequence[float]:
        """Noise levels of the steps, before the shift."""
        levels: list[float] = np.linspace(1.0, 1 / steps, steps).tolist()
        return levels

    def shift(self, tokens: int, steps: int) -> float:
        """How far the times of a picture of `tokens` tokens are shifted, as the scheduler counts."""
        known = self.template.config
        shift: float = calculate_shift(
            tokens,
            known.get("base_image_seq_len", 256),
            known.get("max_image_seq_len", 4096),
            known.get("base_shift", 0.5),
            known.get("max_shift", 1.15),
        )
        return shift

    def clean(self, run: Run, prediction: torch.Tensor, moved: Any) -> torch.Tensor | None:
        """Where the velocity would end if it stayed as it is; made for previews only."""
        if not run.order.preview_interval or not isinstance(run.scheduler, FlowMatchEulerDiscreteScheduler):
            return super().clean(run, prediction, moved)
        sigma = cast(torch.Tensor, run.scheduler.sigmas)[(run.scheduler.begin_index or 0) + run.step]
        guess: torch.Tensor = run.latents - sigma * prediction
        return guess

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`. Shape `(1, channels, height, width)` in, `(height, width, 3)` out."""
        vae = self.pipe.vae
        image = vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]
        return self.pixels(image)
