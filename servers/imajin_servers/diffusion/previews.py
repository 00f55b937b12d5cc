"""Small pictures of work in progress. The denoiser hands latents over and goes on; what comes too fast is left out."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from imajin_servers.diffusion.pipelines import Stepwise

LONGEST = 256
"""Pixels of the longer side."""
LIMIT = 64 * 1024
"""Bytes that the contract allows."""

Deliver = Callable[[bytes, int, int, int], None]
"""Gets the JPEG, its width and height in pixels and the step that it shows; called in the thread that makes previews."""


class Previewer:
    """Makes pictures out of latents: by the autoencoder where it is a tiny one, else by a linear map to colours."""

    def __init__(self, stepwise: Stepwise) -> None:
        self.stepwise = stepwise
        self.vae: Any = stepwise.pipe.vae
        self.tiny = type(self.vae).__name__ == "AutoencoderTiny"
        self.colours: torch.Tensor | None = None

    @torch.inference_mode()
    def picture(self, latents: torch.Tensor) -> Image.Image:
        """`latents` (1, channels, height, width) to look at, no side longer than LONGEST."""
        pixels = self.stepwise.decode(latents) if self.tiny else self.projected(latents)
        image = Image.fromarray(pixels)
        image.thumbnail((LONGEST, LONGEST))
        return image

    def projected(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Each latent pixel as the colour that a linear map gives it."""
        if self.colours is None:
            self.colours = fit_colours(self.vae)
        flat = latents[0].float().flatten(1).T
        values = torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1) @ self.colours.to(flat.device)
        height, width = latents.shape[-2:]
        scaled = ((values.reshape(height, width, 3) / 2 + 0.5).clamp(0, 1) * 255).round()
        return scaled.to(torch.uint8).cpu().numpy()


@torch.inference_mode()
def fit_colours(vae: Any) -> torch.Tensor:
    """The linear map from latents to colours that fits `vae` best, `(channels + 1, 3)`: least squares over patches of colour.

    Fitted to the autoencoder at hand, it needs no table of known models.
    """
    pick = torch.Generator("cpu").manual_seed(0)
    patches = torch.rand(8, 3, 8, 8, generator=pick) * 2 - 1
    images = torch.nn.functional.interpolate(patches, size=(256, 256), mode="bilinear")
    code = vae.encode(images.to(vae.device, vae.dtype))
    latents = code.latents if hasattr(code, "latents") else code.latent_dist.mean
    latents = (latents * vae.config.scaling_factor).float().cpu()
    seen = torch.nn.functional.interpolate(images, size=latents.shape[-2:], mode="area")
    flat = latents.movedim(1, -1).flatten(0, 2)
    inputs = torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
    solution: torch.Tensor = torch.linalg.lstsq(inputs, seen.movedim(1, -1).flatten(0, 2)).solution
    return solution


def jpeg(image: Image.Image) -> bytes:
    """`image` in at most LIMIT bytes."""
    for quality in (80, 60, 40, 20):
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= LIMIT:
            break
    return buffer.getvalue()
