"""Between pictures and latents: what the autoencoders of all families have in common."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines.run import Known, Run, Shown
from imajin_servers.diffusion.sources import Pixels, Source
from imajin_servers.runtime.errors import Internal, InvalidArgument


class Autoencoding(ABC):
    """The side of a pipeline that makes latents of pictures and pictures of latents. A family says how its own counts."""

    lays_out = True
    """Whether the plain inpainting pipeline lays the picture's latents out anew in memory."""

    def __init__(self, pipe: Any, dtype: torch.dtype) -> None:
        self.pipe = pipe
        self.device: torch.device = pipe.device
        self.dtype = dtype
        self.states: weakref.WeakSet[Known | Run | Shown] = weakref.WeakSet()
        """What generations hold on the device, wherever they are between encoding and the end of decoding."""

    def move(self, device: torch.device) -> None:
        """Takes the weights to another device, and all that generations hold. Only while no thread uses any of it."""
        self.pipe.to(device)
        # With its number, where `device` has none.
        self.device = self.pipe.device
        for state in list(self.states):
            state.move(self.device)

    @property
    @abstractmethod
    def multiple(self) -> int:
        """What both sides of a picture must be multiples of, in pixels."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the latents."""

    @property
    def edits(self) -> bool:
        """Whether it draws from images too."""
        return False

    @property
    def cell(self) -> int:
        """Pixels of a picture's side that one latent stands for."""
        return int(self.pipe.vae_scale_factor)

    def drawn_size(self, order: Order) -> tuple[int, int]:
        """Width and height that are drawn, before the crop to the size asked for."""
        up = self.multiple
        return -(-order.width // up) * up, -(-order.height // up) * up

    @torch.inference_mode()
    def know(self, source: Source, generator: torch.Generator) -> Known:
        """`source`, of the drawn size, as latents. Raises InvalidArgument where the model doesn't draw from images."""
        if not self.edits:
            raise InvalidArgument.field("model", "draws from prompts only, not from images")
        image = self.pipe.image_processor.preprocess(Image.fromarray(source.pixels))
        before = generator.get_state()
        latents = self.hidden(image.to(self.device, self.dtype), generator)
        known = Known(latents, generator, None, drawn=not torch.equal(before, generator.get_state()))
        if source.mask is not None:
            mask = torch.from_numpy(source.mask)[None, None].float() / 255
            # An autoencoder's latents may be channels last, and kernels follow the layout.
            known.latents = latents.contiguous() if self.lays_out else latents
            known.mask = self.masked(mask, latents).to(self.device, self.dtype)
        self.states.add(known)
        return known

    @abstractmethod
    def hidden(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """`image` `(1, 3, height, width)` from -1 to 1 as latents for the denoiser."""

    def masked(self, mask: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """`mask` `(1, 1, height, width)` in pixels, in the size of `latents`."""
        return interpolate(mask, size=latents.shape[-2:])

    @abstractmethod
    def decode(self, latents: torch.Tensor, generator: torch.Generator | None = None) -> Pixels:
        """The picture in `latents`. Shape `(1, channels, height, width)` in, `(height, width, 3)` out."""

    def latents_of(self, vae: Any, images: torch.Tensor) -> torch.Tensor:
        """`images` `(n, 3, height, width)` from -1 to 1 as the denoiser's latents, in float32 on the CPU; `vae` is the family's."""
        code = vae.encode(images.to(vae.device, vae.dtype))
        latents = (code.latents if hasattr(code, "latents") else code.latent_dist.mean).float().cpu()
        config = vae.config
        mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is not None and deviation is not None:
            latents = (latents - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(deviation).view(1, -1, 1, 1)
        else:
            latents = latents - (getattr(config, "shift_factor", None) or 0.0)
        scaled: torch.Tensor = latents * config.scaling_factor
        return scaled

    def pixels(self, image: torch.Tensor) -> Pixels:
        """What the autoencoder made, `(1, 3, height, width)` from -1 to 1, as a picture."""
        pictures: NDArray[np.float32] = self.pipe.image_processor.postprocess(image, output_type="np")
        return counted(pictures[0])

    def safe(self, pixels: Pixels) -> bool:
        """What the model's own safety checker says, where it ships one."""
        checker = getattr(self.pipe, "safety_checker", None)
        if checker is None:
            return True
        features = self.pipe.feature_extractor(pixels, return_tensors="pt").to(self.device)
        _, flagged = checker(images=[pixels], clip_input=features.pixel_values.to(self.dtype))
        return not any(flagged)


def counted(picture: NDArray[np.float32]) -> Pixels:
    """`picture`, from 0 to 1, in whole numbers up to 255. Raises Internal where there is none in it."""
    if np.isnan(picture).any():
        raise Internal(
            "the model's numbers overflowed and left no picture; float16 is too narrow for some models, bfloat16 and float32 are not"
        )
    pixels: Pixels = (picture * 255).round().astype(np.uint8)
    return pixels


def sampled(code: Any, generator: torch.Generator) -> torch.Tensor:
    """One of the latents that an autoencoder's `code` stands for."""
    latents: torch.Tensor = code.latent_dist.sample(generator) if hasattr(code, "latent_dist") else code.latents
    return latents
