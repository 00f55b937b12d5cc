"""Noise that pictures of different shapes share: each has the centre of one field."""

from __future__ import annotations

import torch


def centre(field: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """The centre of a `field` of white noise `(1, channels, high, wide)`: white noise `(1, channels, height, width)`.

    The mean of each channel, which pictures take their light and their palette from, is that of the whole field, scaled to the
    variance that a mean of this size has: shapes of one field agree in it. (What a centre holds beside its mean is independent of
    both means, so the result is as white as the field.) A field of the asked size is left as it is.
    """
    high, wide = field.shape[-2:]
    if (width, height) == (wide, high):
        return field
    top, left = (high - height) // 2, (wide - width) // 2
    inner = field[:, :, top : top + height, left : left + width]
    scale: float = ((wide * high) / (width * height)) ** 0.5
    means = scale * field.mean((2, 3), keepdim=True) - inner.mean((2, 3), keepdim=True)
    return (inner + means).contiguous()
