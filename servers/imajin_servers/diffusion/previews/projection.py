"""From latents to small pictures without the autoencoder: one linear map, fitted to the autoencoder at hand.

Each latent pixel and its eight neighbours give a patch of colours. The neighbours matter more than the size of the patch: on the
embedded model a map of single latents reaches 14 dB against the decoder, one of neighbourhoods 22. Being linear, one
fit serves every smaller patch by its means. It is fitted to drawn pictures, so that no table of known models is needed.
"""

from __future__ import annotations

import copy
import math

import torch
from torch.nn import functional

from imajin_servers.diffusion.pipelines import Stepwise

PATCH = 8
"""Colours of a patch's side as fitted."""
AROUND = 3
"""Latents of a neighbourhood's side."""
PICTURES = 8
SIDE = 16
"""Latents of a side of each picture that the map is fitted to."""
RIDGE = 0.01
"""Keeps the map small where the pictures say little, as a share of the mean square of a latent."""


class Projection:
    """The map of one autoencoder. `weights` are `(1 + channels * AROUND**2, 3 * PATCH**2)`, the constant last."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights
        self.kernels: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.inference_mode()
    def colours(self, latents: torch.Tensor, patch: int) -> torch.Tensor:
        """`(1, 3, patch * height, patch * width)` from 0 to 1 out of `latents` `(1, channels, height, width)`; `patch` divides PATCH."""
        # They are small, and outlive the weights: nothing of them stays on a card.
        kernel, bias = (part.to(latents.device) for part in self.kernel(patch))
        framed = functional.pad(latents.float(), [AROUND // 2] * 4, mode="replicate")
        patches = functional.conv2d(framed, kernel, bias)
        return (functional.pixel_shuffle(patches, patch) / 2 + 0.5).clamp(0, 1)

    def kernel(self, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights `(3 * patch**2, channels, AROUND, AROUND)` and bias of the convolution that makes patches of that side."""
        if patch not in self.kernels:
            pooled = functional.avg_pool2d(self.weights.reshape(-1, 3, PATCH, PATCH), PATCH // patch).flatten(1).T
            kernel, bias = pooled[:, :-1].reshape(len(pooled), -1, AROUND, AROUND), pooled[:, -1]
            self.kernels[patch] = kernel.contiguous(), bias.contiguous()
        return self.kernels[patch]


class Fit:
    """The projection of one model, fitted when it is first asked for. It outlives the weights."""

    def __init__(self) -> None:
        self.projection: Projection | None = None

    def of(self, stepwise: Stepwise) -> Projection:
        """The projection for `stepwise`, always of the same model. In the previews' thread."""
        if self.projection is None:
            self.projection = fitted(stepwise)
        return self.projection


@torch.inference_mode()
def fitted(stepwise: Stepwise) -> Projection:
    """The projection that suits the autoencoder of `stepwise` best, by least squares."""
    vae = stepwise.pipe.vae
    images = pictures(PICTURES, SIDE * stepwise.cell)
    if vae.dtype == torch.float16:
        # Some autoencoders overflow there, and the one at hand may be in use by another thread.
        vae = copy.deepcopy(vae).float()
    codes = torch.cat([stepwise.latents_of(vae, image[None]) for image in images])
    seen = functional.interpolate(images, size=(SIDE * PATCH, SIDE * PATCH), mode="area")
    framed = functional.pad(codes, [AROUND // 2] * 4, mode="replicate")
    inputs = functional.unfold(framed, AROUND).movedim(1, -1).flatten(0, 1).double()
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=inputs.dtype)], dim=1)
    outputs = functional.pixel_unshuffle(seen, PATCH).movedim(1, -1).flatten(0, 2).double()
    squares = inputs.T @ inputs
    ridge = RIDGE * squares.diagonal().mean() * torch.eye(len(squares), dtype=squares.dtype)
    return Projection(torch.linalg.solve(squares + ridge, inputs.T @ outputs).float())


def pictures(count: int, side: int) -> torch.Tensor:
    """`count` drawn pictures `(count, 3, side, side)` from -1 to 1, always the same: soft grounds with hard-edged shapes on them."""
    pick = torch.Generator("cpu").manual_seed(0)

    def drawn(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand(1, generator=pick))

    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    made = []
    for _ in range(count):
        ground = torch.zeros(3, side, side)
        for grain, strength in ((2, 0.8), (8, 0.4), (32, 0.2)):
            noise = torch.rand(1, 3, grain, grain, generator=pick) * 2 - 1
            ground += strength * functional.interpolate(noise, size=(side, side), mode="bicubic")[0]
        for _ in range(14):
            colour = torch.rand(3, 1, 1, generator=pick) * 2.2 - 1.1
            along, turn = columns - drawn(0, side), drawn(0, math.pi)
            across, width, height = rows - drawn(0, side), drawn(0.02, 0.35) * side, drawn(0.02, 0.35) * side
            u = (along * math.cos(turn) + across * math.sin(turn)) / width
            v = (across * math.cos(turn) - along * math.sin(turn)) / height
            inside = u**2 + v**2 < 1 if drawn(0, 1) < 0.6 else (u.abs() < 1) & (v.abs() < 1)
            ground = torch.where(inside, colour + 0.15 * ground, ground)
        made.append(ground.clamp(-1, 1))
    return torch.stack(made)
