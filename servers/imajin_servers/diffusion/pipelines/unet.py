"""Stable Diffusion 1.x and 2.x, and what shares their call: a UNet, one text encoder, an autoencoder."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import torch

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.autoencoding import sampled
from imajin_servers.diffusion.pipelines.run import Conditioning, Run
from imajin_servers.diffusion.pipelines.schedulers import chosen, timed
from imajin_servers.diffusion.pipelines.stepwise import Stepwise, joined
from imajin_servers.diffusion.sources import Pixels


class StepwiseUNet(Stepwise):
    """The UNet families: a guided run is two rows of one pass."""

    vectors = ("time_embedding", "add_embedding", "time_emb_proj")

    def __init__(self, pipe: Any, scheduler: str | None = None) -> None:
        super().__init__(pipe, pipe.unet, scheduler)

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, in pixels."""
        return math.lcm(8, self.cell)

    @property
    def channels(self) -> int:
        """Channels of the latents."""
        return int(self.denoiser.config.in_channels)

    @property
    def edits(self) -> bool:
        """Whether it draws from images too: what the autoencoder makes of one must be what the denoiser takes."""
        return self.channels == int(self.pipe.vae.config.latent_channels)

    def hidden(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`image` `(1, 3, height, width)` from -1 to 1 as latents for the denoiser."""
        latents: torch.Tensor = self.pipe.vae.config.scaling_factor * sampled(self.pipe.vae.encode(image), generator)
        return latents

    @torch.inference_mode()
    def encode(self, order: Order) -> Conditioning:
        """The prompt through the text encoder; what is too long for it is cut off, as diffusers does."""
        self.adapters.encoders.hear(order.loras)
        positive, negative = self.pipe.encode_prompt(
            order.prompt, self.device, 1, order.guided, order.negative_prompt or None
        )
        return Conditioning(torch.cat([negative, positive]) if order.guided else positive)

    def schedule(self, order: Order) -> Any:
        """A scheduler of the run's own, with its timesteps set. Raises InvalidArgument on steps that it can't take."""
        return timed(chosen(self.template, order.scheduler), order.steps, device=self.device)

    def initial(self, scheduler: Any, noise: torch.Tensor) -> torch.Tensor:
        """The latents that the scheduler's first step takes, from `noise` of variance one."""
        latents: torch.Tensor = noise * scheduler.init_noise_sigma
        return latents

    def kind(self, run: Run) -> Hashable | None:
        """Runs of one kind may share a pass. One row alone is computed otherwise than among others: it has no kind."""
        return None if run.rows == 1 else self.shape(run)

    def shape(self, run: Run) -> Hashable:
        """What the cost of a step depends on, and its bits: how the latents lie in memory too."""
        return super().shape(run), run.latents.stride()

    def predict(self, runs: Sequence[Run]) -> list[torch.Tensor]:
        """What the denoiser says of each run's latents, `(rows, channels, height, width)` each."""
        inputs, times = [], []
        for run in runs:
            latents = torch.cat([run.latents] * run.rows)
            inputs.append(run.scheduler.scale_model_input(latents, run.moment))
            times.append(run.moment.expand(run.rows))
        counts = [run.rows for run in runs]
        with self.rows.of(counts):
            prediction = self.denoiser(
                joined(inputs),
                joined(times),
                encoder_hidden_states=joined([run.conditioning.embeddings for run in runs]),
                added_cond_kwargs=added([run.conditioning for run in runs]),
                return_dict=False,
            )[0]
        return list(prediction.split(counts))

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`. Shape `(1, channels, height, width)` in, `(height, width, 3)` out."""
        image = self.pipe.vae.decode(
            latents / self.pipe.vae.config.scaling_factor, return_dict=False, generator=generator
        )[0]
        return self.pixels(image)


def added(conditionings: Sequence[Conditioning]) -> dict[str, torch.Tensor] | None:
    """The family's extras of all runs."""
    names = conditionings[0].added
    return {name: joined([one.added[name] for one in conditionings]) for name in names} or None
