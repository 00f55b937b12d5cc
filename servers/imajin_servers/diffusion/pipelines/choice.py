"""Which way a pipeline is driven."""

from __future__ import annotations

import importlib
from typing import Any

import diffusers
from diffusers.schedulers.scheduling_utils import SchedulerMixin

from imajin_servers.diffusion.pipelines.stepwise import Stepwise
from imajin_servers.diffusion.pipelines.whole import Whole

FAMILIES = {
    "StableDiffusionPipeline": "unet:StepwiseUNet",
    "StableDiffusionXLPipeline": "xl:StepwiseXL",
    "FluxPipeline": "flux:StepwiseFlux",
    "Flux2KleinPipeline": "flux2:StepwiseFlux2",
    "QwenImagePipeline": "qwen:StepwiseQwen",
    "ZImagePipeline": "z_image:StepwiseZImage",
}
"""Classes of diffusers, each with the module here and the class in it; imported when a model needs them."""
CACHED = ("FluxPipeline", "QwenImagePipeline")
"""Those whose transformers have a first-block cache in diffusers that works."""
FORECAST = ("FluxPipeline", "Flux2KleinPipeline", "QwenImagePipeline")
"""Those whose transformers diffusers can forecast."""


def wrap(pipe: Any, scheduler: str | None = None) -> Stepwise | Whole:
    """`pipe` step by step where its family is known, whole otherwise; `scheduler` names a class that replaces its own.

    Raises ValueError where that doesn't fit, and where the pipeline draws no images from prompts alone.
    """
    pipe.set_progress_bar_config(disable=True)
    if scheduler is not None:
        check_class(scheduler, pipe.scheduler)
    known = FAMILIES.get(type(pipe).__name__)
    unet = getattr(pipe, "unet", None)
    # UNets that hear the guidance as an embedding are called otherwise.
    if known is None or (unet is not None and unet.config.time_cond_proj_dim is not None):
        return Whole(pipe)
    module, name = known.split(":")
    made: Stepwise = getattr(importlib.import_module(f"{__package__}.{module}"), name)(pipe, scheduler)
    return made


def check_class(name: str, own: Any) -> None:
    """Raises ValueError unless `name` is a scheduler of diffusers that can stand in for `own`."""
    kind = getattr(diffusers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise ValueError(f"diffusers has no scheduler {name!r}")
    flows = name.startswith("FlowMatch") and type(own).__name__.startswith("FlowMatch")
    if not (flows or kind is type(own) or kind in own.compatibles):
        raise ValueError(f"{name} can't stand in for the model's {type(own).__name__}")
