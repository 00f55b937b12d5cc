"""How much memory a generation takes beside the weights."""

from __future__ import annotations

from typing import Any

import torch

DENOISER_COPIES = 24
"""Feature maps of the first width that a denoiser holds at once: inputs, skips, and the wide inner layers of attention."""
CACHED_COPIES = 6
"""What a step cache keeps of two passes: what the first block said and added, and what the others added."""
PROMPT_TOKENS = 512
"""What a transformer hears beside the picture, at most."""
LATENTS_A_TOKEN = 4
DECODER_COPIES = 3
"""Feature maps at full size that a decoder holds at once."""
FLOOR = 16 * 1024**2


def estimate(pipe: Any, width: int, height: int, rows: int) -> int:
    """Bytes at the peak of `rows` rows of `width` x `height` pixels: the larger of what denoising and what decoding take."""
    denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    vae = getattr(pipe, "vae", None)
    scale = int(getattr(pipe, "vae_scale_factor", 8))
    denoising = rows * denoiser_numbers(denoiser, width * height // scale**2) * element_bytes(denoiser)
    decoding = width * height * first_width(vae, 128) * element_bytes(vae) * DECODER_COPIES
    return max(denoising, decoding) + FLOOR


def denoiser_numbers(network: Any, latents: int) -> int:
    """Numbers that the denoiser holds at once for one row of `latents` latents."""
    if width := transformer_width(network):
        copies = DENOISER_COPIES + (CACHED_COPIES if getattr(network, "is_cache_enabled", False) else 0)
        return (latents // LATENTS_A_TOKEN + PROMPT_TOKENS) * width * copies
    return latents * first_width(network, 320) * DENOISER_COPIES


def transformer_width(network: Any) -> int:
    """Numbers of a token, 0 where `network` is no transformer."""
    config = getattr(network, "config", {})
    if "block_out_channels" in config:
        return 0
    return int(config.get("dim") or (config.get("num_attention_heads") or 0) * (config.get("attention_head_dim") or 0))


def first_width(network: Any, otherwise: int) -> int:
    """Channels of the network's first block."""
    widths = getattr(getattr(network, "config", None), "block_out_channels", None)
    return int(widths[0]) if widths else otherwise


def element_bytes(network: Any) -> int:
    """Bytes of one number of the network."""
    return torch.finfo(network.dtype).bits // 8 if network is not None else 4
