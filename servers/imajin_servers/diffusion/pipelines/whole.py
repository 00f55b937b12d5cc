"""Any other pipeline of diffusers: it runs whole, and is heard and stopped through its callback."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import schedulers
from imajin_servers.diffusion.pipelines.adapters import Adapters
from imajin_servers.diffusion.sources import Pixels


class Whole:
    """A pipeline with a `__call__` from a prompt to images. Use it from one thread."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.template = pipe.scheduler
        denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
        self.adapters = Adapters(pipe, denoiser, lambda: None)
        self.device: torch.device = pipe.device
        self.taken = inspect.signature(pipe.__call__).parameters

    def move(self, device: torch.device) -> None:
        """Takes the weights to another device and back, while a run stands still in its callback.

        What the run's own frame holds stays where it is: its latents and embeddings, some MiB for one picture. So the run
        goes on with the same bits once the weights are back.
        """
        self.pipe.to(device)
        streams.settle(self.device)

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, in pixels: enough for autoencoders that patch."""
        return max(16, 2 * int(getattr(self.pipe, "vae_scale_factor", 8)))

    def drawn_size(self, order: Order) -> tuple[int, int]:
        """Width and height that are drawn, before the crop to the size asked for."""
        up = self.multiple
        return -(-order.width // up) * up, -(-order.height // up) * up

    @property
    def edits(self) -> bool:
        """Whether it draws from images too."""
        return False

    @property
    def schedulers(self) -> list[str]:
        """Names of the schedulers that fit the model; its own needs no name."""
        return schedulers.fitting(self.template.config)

    def pass_rows(self, order: Order) -> int:
        """Rows that `order` takes in a forward pass, as most pipelines do it."""
        return 2 if order.guided else 1

    def draw(self, order: Order, on_step: Callable[[int], None]) -> Pixels:
        """The picture. `on_step` hears how many steps are done; what it raises ends the run.

        Raises InvalidArgument where the scheduler doesn't fit the model.
        """
        schedulers.check(order.scheduler, self.schedulers)
        self.pipe.scheduler = schedulers.chosen(self.template, order.scheduler)
        self.adapters.encoders.hear(order.loras)
        width, height = self.drawn_size(order)

        def heard(pipe: Any, step: int, moment: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # Some schedulers ask the denoiser twice a step.
            on_step((step + 1) * order.steps // max(int(getattr(pipe, "num_timesteps", order.steps)), order.steps))
            return tensors

        wishes = {
            "prompt": order.prompt,
            "negative_prompt": order.negative_prompt or None,
            "width": width,
            "height": height,
            "num_inference_steps": order.steps,
            "guidance_scale": order.guidance_scale,
            "generator": torch.Generator("cpu").manual_seed(order.seed),
            "callback_on_step_end": heard,
            "output_type": "np",
        }
        with self.adapters.used(order.loras):
            made = self.pipe(**{name: value for name, value in wishes.items() if name in self.taken})
        return (np.asarray(made.images[0]) * 255).round().astype(np.uint8)
