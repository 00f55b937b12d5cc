"""The UNet families, one step at a time, with diffusers' own encoders, schedulers and autoencoders.

The arithmetic is that of `StableDiffusionPipeline.__call__`, in the same order: a run that steps alone gives the same
bits as the plain pipeline. Runs that share a pass give them too, where `probe` has seen it.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from numpy.typing import NDArray

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.rows import Rows

Pixels = NDArray[np.uint8]
"""`(height, width, 3)`, RGB."""


@dataclass
class Conditioning:
    """What the denoiser hears: embeddings `(rows, tokens, features)`, negative row first where guided, and the family's extras."""

    embeddings: torch.Tensor
    added: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass
class Run:
    """A generation between two steps: all that it takes to go on, whoever else is there."""

    order: Order
    conditioning: Conditioning
    scheduler: Any
    timesteps: torch.Tensor
    latents: torch.Tensor
    """`(1, channels, height, width)` of the latent space."""
    generator: torch.Generator
    extra: dict[str, Any]
    home: torch.device
    """Where it is computed."""
    step: int = 0
    away: list[str] = field(default_factory=list)
    """What the scheduler keeps on `home`, while the run is off it."""
    clean: torch.Tensor | None = None
    """The scheduler's guess of the finished latents, where it makes one."""

    @property
    def steps(self) -> int:
        """Steps in all."""
        return len(self.timesteps)

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.steps

    def move(self, device: torch.device) -> None:
        """Takes the run off its device, or back to it. The scheduler's own tensors follow, bits unchanged."""
        self.latents = self.latents.to(device)
        self.timesteps = self.timesteps.to(device)
        self.clean = None if self.clean is None else self.clean.to(device)
        self.conditioning.embeddings = self.conditioning.embeddings.to(device)
        self.conditioning.added = {name: tensor.to(device) for name, tensor in self.conditioning.added.items()}
        # A scheduler keeps some tensors on the CPU while it runs elsewhere: only what left comes back.
        away = self.away or [name for name, value in vars(self.scheduler).items() if on_device(value, self.home)]
        for name in away:
            setattr(self.scheduler, name, moved(getattr(self.scheduler, name), device))
        self.away = [] if self.away else away

    @property
    def rows(self) -> int:
        """Rows that it takes in a forward pass."""
        return self.conditioning.embeddings.shape[0]


class Stepwise:
    """Stable Diffusion 1.x and 2.x, and what shares their call: a UNet, one text encoder, an autoencoder.

    `encode` and `start` belong to one thread, `step` to another, `decode` to a third; the pipeline's own scheduler is
    only a template.
    """

    def __init__(self, pipe: Any, scheduler: str | None = None) -> None:
        self.pipe = pipe
        self.template = pipe.scheduler
        if scheduler is not None:
            self.template = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
        self.device: torch.device = pipe.device
        self.dtype: torch.dtype = pipe.unet.dtype
        self.rows = Rows(pipe.unet)

    def move(self, device: torch.device) -> None:
        """Takes the weights to another device."""
        self.pipe.to(device)
        self.device = device

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, in pixels."""
        return math.lcm(8, self.pipe.vae_scale_factor)

    def drawn_size(self, order: Order) -> tuple[int, int]:
        """Width and height that are drawn, before the crop to the size asked for."""
        up = self.multiple
        return -(-order.width // up) * up, -(-order.height // up) * up

    @torch.inference_mode()
    def encode(self, order: Order) -> Conditioning:
        """The prompt through the text encoder; what is too long for it is cut off, as diffusers does."""
        positive, negative = self.pipe.encode_prompt(
            order.prompt, self.device, 1, order.guided, order.negative_prompt or None
        )
        return Conditioning(torch.cat([negative, positive]) if order.guided else positive)

    @torch.inference_mode()
    def start(self, order: Order, conditioning: Conditioning) -> Run:
        """The run before its first step."""
        scheduler = type(self.template).from_config(self.template.config)
        scheduler.set_timesteps(order.steps, device=self.device)
        width, height = self.drawn_size(order)
        scale = self.pipe.vae_scale_factor
        generator = torch.Generator("cpu").manual_seed(order.seed)
        latents = randn_tensor(
            (1, self.pipe.unet.config.in_channels, height // scale, width // scale),
            generator=generator,
            device=self.device,
            dtype=conditioning.embeddings.dtype,
        )
        latents = latents * scheduler.init_noise_sigma
        extra = step_extras(scheduler, generator)
        return Run(order, conditioning, scheduler, scheduler.timesteps, latents, generator, extra, self.device)

    def kind(self, run: Run) -> Hashable | None:
        """Runs of one kind may share a pass. One row alone is computed otherwise than among others: it has no kind."""
        return None if run.rows == 1 else self.shape(run)

    def shape(self, run: Run) -> Hashable:
        """What the cost of a step depends on: the shapes of latents and embeddings."""
        return tuple(run.latents.shape), tuple(run.conditioning.embeddings.shape)

    @torch.inference_mode()
    def step(self, runs: Sequence[Run]) -> None:
        """Takes one step of each run, in one forward pass."""
        for run, prediction in zip(runs, self.predict(runs), strict=True):
            self.advance(run, prediction)

    @torch.inference_mode()
    def probe(self, runs: Sequence[Run]) -> tuple[bool, float, float]:
        """Takes one step of each run alone, and tries them together as well.

        Returns whether the bits were the same, seconds together and seconds one after the other.
        """
        began = self.now()
        alone = [self.predict([run])[0] for run in runs]
        between = self.now()
        together = self.predict(runs)
        ended = self.now()
        same = all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
        for run, prediction in zip(runs, alone, strict=True):
            self.advance(run, prediction)
        return same, ended - between, between - began

    def now(self) -> float:
        """Seconds, when all work that was handed to the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def predict(self, runs: Sequence[Run]) -> list[torch.Tensor]:
        """What the denoiser says of each run's latents, `(rows, channels, height, width)` each."""
        inputs, times = [], []
        for run in runs:
            moment = run.timesteps[run.step]
            latents = torch.cat([run.latents] * run.rows)
            inputs.append(run.scheduler.scale_model_input(latents, moment))
            times.append(moment.expand(run.rows))
        counts = [run.rows for run in runs]
        with self.rows.of(counts):
            prediction = self.pipe.unet(
                joined(inputs),
                joined(times),
                encoder_hidden_states=joined([run.conditioning.embeddings for run in runs]),
                added_cond_kwargs=self.added([run.conditioning for run in runs]),
                return_dict=False,
            )[0]
        return list(prediction.split(counts))

    def added(self, conditionings: Sequence[Conditioning]) -> dict[str, torch.Tensor] | None:
        """The family's extras of all runs."""
        names = conditionings[0].added
        return {name: joined([one.added[name] for one in conditionings]) for name in names} or None

    def advance(self, run: Run, prediction: torch.Tensor) -> None:
        """One step of the run's scheduler."""
        if run.order.guided:
            negative, positive = prediction.chunk(2)
            prediction = negative + run.order.guidance_scale * (positive - negative)
        moved = run.scheduler.step(prediction, run.timesteps[run.step], run.latents, **run.extra)
        run.latents = moved.prev_sample
        run.clean = getattr(moved, "pred_original_sample", None)
        run.step += 1

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`. Shape `(1, channels, height, width)` in, `(height, width, 3)` out."""
        image = self.pipe.vae.decode(
            latents / self.pipe.vae.config.scaling_factor, return_dict=False, generator=generator
        )[0]
        return self.pixels(image)

    def pixels(self, image: torch.Tensor) -> Pixels:
        """What the autoencoder made, `(1, 3, height, width)` from -1 to 1, as a picture."""
        pictures: NDArray[np.float32] = self.pipe.image_processor.postprocess(image, output_type="np")
        finished: Pixels = (pictures[0] * 255).round().astype(np.uint8)
        return finished

    def safe(self, pixels: Pixels) -> bool:
        """What the model's own safety checker says, where it ships one."""
        checker = getattr(self.pipe, "safety_checker", None)
        if checker is None:
            return True
        features = self.pipe.feature_extractor(pixels, return_tensors="pt").to(self.device)
        _, flagged = checker(images=[pixels], clip_input=features.pixel_values.to(self.dtype))
        return not any(flagged)


def on_device(value: Any, device: torch.device) -> bool:
    """Whether `value` is a tensor on `device`, or a list with one."""
    if isinstance(value, list):
        return any(on_device(one, device) for one in value)
    return isinstance(value, torch.Tensor) and value.device == device


def moved(value: Any, device: torch.device) -> Any:
    """`value` with its tensors on `device`."""
    if isinstance(value, list):
        return [moved(one, device) for one in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The rows of all `parts`; one part alone isn't copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def step_extras(scheduler: Any, generator: torch.Generator) -> dict[str, Any]:
    """What the scheduler's step takes beyond the three that all take."""
    taken = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in (("eta", 0.0), ("generator", generator)) if name in taken}
