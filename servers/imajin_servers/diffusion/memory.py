"""How much memory a generation takes beside the weights."""

from __future__ import annotations

from typing import Any

import torch

DENOISER_COPIES = 24
"""Feature maps of the first width that a denoiser holds at once: inputs, skips, and the wide inner layers of attention."""
DECODER_COPIES = 3
"""Feature maps at full size that a decoder holds at once."""
FLOOR = 16 * 1024**2


def estimate(pipe: Any, width: int, height: int, rows: int) -> int:
    """Bytes at the peak of `rows` rows of `width` x `height` pixels: the larger of what denoising and what decoding take."""
    denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    vae = getattr(pipe, "vae", None)
    scale = int(getattr(pipe, "vae_scale_factor", 8))
    denoising = (
        rows * width * height // scale**2 * first_width(denoiser, 320) * element_bytes(denoiser) * DENOISER_COPIES
    )
    decoding = width * height * first_width(vae, 128) * element_bytes(vae) * DECODER_COPIES
    return max(denoising, decoding) + FLOOR


def first_width(network: Any, otherwise: int) -> int:
    """Channels of the network's first block."""
    widths = getattr(getattr(network, "config", None), "block_out_channels", None)
    return int(widths[0]) if widths else otherwise


def element_bytes(network: Any) -> int:
    """Bytes of one number of the network."""
    return torch.finfo(network.dtype).bits // 8 if network is not None else 4
