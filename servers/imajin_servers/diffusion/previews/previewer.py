"""Small pictures of work in progress. The denoiser hands latents over and goes on; what comes too fast is left out."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from imajin_servers.diffusion.pipelines import Stepwise
from imajin_servers.diffusion.previews.projection import PATCH, Fit

LONGEST = 256
"""Pixels of the longer side."""
ENOUGH = 192
"""Pixels of the longer side that a projection isn't made larger than."""
LIMIT = 64 * 1024
"""Bytes that the contract allows."""

Way = Literal["projection", "autoencoder"]


class Previewer:
    """Makes pictures out of latents: by a linear projection, or by the autoencoder where that is a tiny one and asked for."""

    def __init__(self, stepwise: Stepwise, way: Way = "projection", fit: Fit | None = None) -> None:
        self.stepwise = stepwise
        self.vae: Any = stepwise.pipe.vae
        self.decodes = way == "autoencoder" and type(self.vae).__name__ == "AutoencoderTiny"
        self.fit = fit or Fit()

    @torch.inference_mode()
    def picture(self, latents: torch.Tensor) -> Image.Image:
        """`latents` (1, channels, height, width) to look at, no side longer than LONGEST."""
        image = Image.fromarray(self.stepwise.decode(latents)) if self.decodes else self.projected(latents)
        image.thumbnail((LONGEST, LONGEST))
        return image

    def projected(self, latents: torch.Tensor) -> Image.Image:
        """Each latent pixel as the patch of colours that the projection gives it."""
        colours = self.fit.of(self.stepwise).colours(latents, patch(max(latents.shape[-2:])))[0]
        pixels = (colours * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
        return Image.fromarray(pixels.cpu().numpy().astype(np.uint8, copy=False))


def patch(longest: int) -> int:
    """Pixels of a side that each latent gets, where `longest` latents are on the longer side: a power of two."""
    side = PATCH
    while side > 1 and side * longest > ENOUGH:
        side //= 2
    return side


def jpeg(image: Image.Image) -> bytes:
    """`image` in at most LIMIT bytes."""
    for quality in (80, 60, 40, 20):
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= LIMIT:
            break
    return buffer.getvalue()
