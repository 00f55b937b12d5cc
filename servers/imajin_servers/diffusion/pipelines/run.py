"""A generation between two steps: what the engine and every family pass around."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import torch

from imajin_servers.diffusion.orders import Order


@dataclass
class Conditioning:
    """What the denoiser hears in one pass: embeddings `(rows, tokens, features)` and the family's extras."""

    embeddings: torch.Tensor
    added: dict[str, torch.Tensor] = field(default_factory=dict)
    negative: Conditioning | None = None
    """What it hears in a second pass; a family that hears both in one has the negative row first in `embeddings`."""

    @property
    def shape(self) -> Hashable:
        """The shapes of all that is heard: only what has the same shape fits into one pass."""
        return tuple(self.embeddings.shape), None if self.negative is None else self.negative.shape

    def move(self, device: torch.device) -> None:
        """Takes it to another device."""
        self.embeddings = self.embeddings.to(device)
        self.added = {name: tensor.to(device) for name, tensor in self.added.items()}
        if self.negative is not None:
            self.negative.move(device)


@dataclass(eq=False)
class Known:
    """What a run begins from beside noise: a picture in latents, and where it stays."""

    latents: torch.Tensor
    """`(1, channels, height, width)`, scaled as the denoiser's."""
    generator: torch.Generator
    """The run's, as far as the autoencoder has drawn from it."""
    mask: torch.Tensor | None
    """`(1, 1, height, width)`: 1 is painted anew, 0 stays; None paints all."""
    drawn: bool = False
    """Whether the autoencoder has drawn from the generator."""
    noise: torch.Tensor | None = None
    """That of the run, where there is a mask."""

    def move(self, device: torch.device) -> None:
        """Takes it to another device."""
        self.latents = self.latents.to(device)
        self.mask = None if self.mask is None else self.mask.to(device)
        self.noise = None if self.noise is None else self.noise.to(device)


@dataclass(eq=False)
class Shown:
    """What a preview is made of: latents as they were after a step."""

    latents: torch.Tensor
    step: int
    """Steps that were made."""

    def move(self, device: torch.device) -> None:
        """Takes it to another device."""
        self.latents = self.latents.to(device)


@dataclass(eq=False)
class Run:
    """A generation between two steps: all that it takes to go on, whoever else is there."""

    order: Order
    conditioning: Conditioning
    scheduler: Any
    timesteps: torch.Tensor
    latents: torch.Tensor
    """`(1, channels, height, width)` of the latent space, whatever the denoiser takes."""
    generator: torch.Generator
    extra: dict[str, Any]
    home: torch.device
    """Where it is computed."""
    planned: int
    """Steps as people count them; some schedulers take two of the denoiser's for one."""
    step: int = 0
    known: Known | None = None
    away: list[str] = field(default_factory=list)
    """What the scheduler keeps on `home`, while the run is off it; empty while it is there."""
    clean: torch.Tensor | None = None
    """A guess of the finished latents, where there is one."""
    remembered: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What the step cache goes on from, by its memories and the names of the passes; see `StepCache`."""

    @property
    def steps(self) -> int:
        """Steps of the denoiser in all."""
        return len(self.timesteps)

    @property
    def made(self) -> int:
        """Of `planned` steps those that are made."""
        return self.step * self.planned // self.steps

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.steps

    @property
    def moment(self) -> torch.Tensor:
        """The time of the next step, as the scheduler counts."""
        return self.timesteps[self.step]

    @property
    def rows(self) -> int:
        """Rows that it takes in a forward pass."""
        return self.conditioning.embeddings.shape[0]

    def move(self, device: torch.device) -> None:
        """Takes the run off its device, or back to it. The scheduler's own tensors follow, bits unchanged."""
        self.latents = self.latents.to(device)
        self.timesteps = self.timesteps.to(device)
        self.clean = None if self.clean is None else self.clean.to(device)
        self.conditioning.move(device)
        for states in self.remembered.values():
            for kept in states.values():
                vars(kept).update({name: moved(value, device) for name, value in vars(kept).items()})
        # A scheduler keeps some tensors on the CPU while it runs elsewhere: only what left comes back.
        if device != self.home:
            self.away += [name for name, value in vars(self.scheduler).items() if on_device(value, self.home)]
        for name in self.away:
            setattr(self.scheduler, name, moved(getattr(self.scheduler, name), device))
        if device == self.home:
            self.away = []


def on_device(value: Any, device: torch.device) -> bool:
    """Whether `value` is a tensor on `device`, or a list or tuple with one."""
    if isinstance(value, list | tuple):
        return any(on_device(one, device) for one in value)
    return isinstance(value, torch.Tensor) and value.device == device


def moved(value: Any, device: torch.device) -> Any:
    """`value` with its tensors on `device`, those in lists, tuples and dictionaries too."""
    if isinstance(value, dict):
        return {name: moved(one, device) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(moved(one, device) for one in value)
    return value.to(device) if isinstance(value, torch.Tensor) else value
