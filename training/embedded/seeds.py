"""What a seed decides: parts of the noise that say which of the pictures a caption leaves open is drawn.

A caption such as "a cat" fits many pictures: four styles, several looks, on white or on a pale colour. A small denoiser that is trained
with noise that has nothing to do with the picture draws their blend. Here each open choice has its own direction in the space of the noise,
and training pairs a picture only with noise whose component in that direction lies in the band of that choice. Bands have the widths of the
choices' shares, so over all pictures the noise is white as ever, and any sampler works from any seed; but the first step knows what to draw.
(Other ways to pair noise with pictures: Li et al. 2024, "Immiscible Diffusion", arXiv:2406.12303; Pooladian et al. 2023, arXiv:2304.14772.)

Each direction is the mean over all places of one mix of the latent channels: a linear fit finds such means in the innermost features of a
denoiser that was never trained to read them (15 to 30% of their variance), but nothing of single places, blocks or waves. Bases of
one picture share the means of their noise, to scale (`Stepwise.noise`), and so the choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

CHOICES = ("style", "look", "tint a", "tint b")
Band = tuple[float, float]
"""Quantiles of the standard normal distribution, lower and upper."""
FREE: Band = (0.0, 1.0)
"""Any noise will do: the caption says it, or nothing is to be chosen."""


def band(at: int, shares: Sequence[float]) -> Band:
    """The band of choice number `at` among choices of these shares."""
    whole = sum(shares)
    return sum(shares[:at]) / whole, sum(shares[: at + 1]) / whole


def directions(channels: int, height: int, width: int) -> Tensor:
    """Orthonormal directions `(choices, channels, height, width)`."""
    place = (torch.arange(channels) + 0.5) / channels * math.pi
    mixes = torch.stack([torch.cos((number + 1) * place) for number in range(len(CHOICES))])
    out = mixes[:, :, None, None].expand(-1, -1, height, width)
    return out / out.flatten(1).norm(dim=1)[:, None, None, None]


def noise(like: Tensor, bands: Tensor) -> Tensor:
    """White noise of the shape `(n, C, h, w)` of `like` whose components lie in `bands` `(n, choices, 2)`."""
    white = torch.randn_like(like)
    basis = directions(*like.shape[1:]).to(like.device)
    has = torch.einsum("nchw,kchw->nk", white, basis)
    quantile = bands[..., 0] + (bands[..., 1] - bands[..., 0]) * torch.rand(bands.shape[:2], device=like.device)
    wanted = torch.special.ndtri(quantile.clamp(1e-4, 1 - 1e-4))
    free = (bands[..., 0] <= 0) & (bands[..., 1] >= 1)
    return white + torch.einsum("nk,kchw->nchw", torch.where(free, 0.0, wanted - has), basis)
