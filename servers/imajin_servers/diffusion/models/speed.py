"""What an operator can turn on to make a model faster.

Nothing of it is on by default: the results would no longer have the plain pipeline's bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.hooks.first_block_cache import FirstBlockCacheConfig
from diffusers.hooks.taylorseer_cache import TaylorSeerCacheConfig

from imajin_servers.diffusion.pipelines.choice import CACHED, FORECAST

if TYPE_CHECKING:
    from imajin_servers.diffusion.settings import ModelEntry


FULL = 3
"""Steps at the beginning that are never forecast: they say what there is to see."""


def misfit(entry: ModelEntry, pipeline: str) -> str | None:
    """Which setting of `entry` doesn't fit a pipeline of the class `pipeline`, as a sentence; None where all of them fit."""
    if entry.step_cache and pipeline not in CACHED:
        return f"the model {entry.name!r} can't have step_cache: {pipeline} has none, only {' and '.join(CACHED)} have"
    if entry.step_forecast and pipeline not in FORECAST:
        return (
            f"the model {entry.name!r} can't have step_forecast: {pipeline} has none, only {', '.join(FORECAST)} have"
        )
    return None


def hasten(pipe: Any, entry: ModelEntry, backend: str = "inductor") -> None:
    """Makes `pipe` faster as `entry` asks, all of which must fit.

    Blocks are compiled by the `backend` of torch.compile at the first step of each shape.
    """
    denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    if denoiser is None:
        return
    if entry.channels_last:
        for part in (denoiser, getattr(pipe, "vae", None)):
            if part is not None and any(isinstance(layer, torch.nn.Conv2d) for layer in part.modules()):
                part.to(memory_format=torch.channels_last)
    if entry.fuse_projections:
        denoiser.fuse_qkv_projections()
    if entry.fp8_weights:
        denoiser.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=denoiser.dtype)
    if entry.step_cache:
        denoiser.enable_cache(FirstBlockCacheConfig(entry.step_cache))
    if entry.step_forecast:
        denoiser.enable_cache(
            TaylorSeerCacheConfig(entry.step_forecast, disable_cache_before_step=FULL, use_lite_mode=True)
        )
    if entry.compile_blocks:
        denoiser.compile_repeated_blocks(fullgraph=True, backend=backend)
