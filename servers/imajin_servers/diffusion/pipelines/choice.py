"""Which way a pipeline is driven."""

from __future__ import annotations

from typing import Any

from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

from imajin_servers.diffusion.pipelines.stepwise import Stepwise
from imajin_servers.diffusion.pipelines.unet import StepwiseUNet
from imajin_servers.diffusion.pipelines.whole import Whole
from imajin_servers.diffusion.pipelines.xl import StepwiseXL


def wrap(pipe: Any, scheduler: str | None = None) -> Stepwise | Whole:
    """`pipe` step by step where its family is known, whole otherwise; `scheduler` names a class that replaces its own."""
    pipe.set_progress_bar_config(disable=True)
    unet = getattr(pipe, "unet", None)
    # Distilled models hear the guidance as an embedding.
    plain = unet is not None and unet.config.time_cond_proj_dim is None
    if plain and type(pipe) is StableDiffusionPipeline:
        return StepwiseUNet(pipe, scheduler)
    if plain and type(pipe) is StableDiffusionXLPipeline:
        return StepwiseXL(pipe, scheduler)
    return Whole(pipe)
