"""The schedulers that a request may choose, by name, and which of them fit a model.

A model was trained on one schedule of noise and to predict one thing, and both are in its own scheduler's configuration.
Another scheduler fits when it knows all of that: one that leaves out what it doesn't know would start from other noise
than the model has seen, and draw something washed out without an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import diffusers

from imajin_servers.runtime.errors import InvalidArgument

KARRAS = {"use_karras_sigmas": True}
DPMPP = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
DPMPP_SDE = {**DPMPP, "algorithm_type": "sde-dpmsolver++"}


@dataclass(frozen=True)
class Choice:
    """A scheduler class of diffusers and what makes it this scheduler."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


CHOICES: Mapping[str, Choice] = {
    "ddim": Choice("DDIMScheduler"),
    "ddpm": Choice("DDPMScheduler", {"variance_type": "fixed_small"}),
    "pndm": Choice("PNDMScheduler", {"skip_prk_steps": True}),
    "euler": Choice("EulerDiscreteScheduler"),
    "euler_karras": Choice("EulerDiscreteScheduler", KARRAS),
    "euler_ancestral": Choice("EulerAncestralDiscreteScheduler"),
    "heun": Choice("HeunDiscreteScheduler"),
    "dpm2": Choice("KDPM2DiscreteScheduler"),
    "dpm2_ancestral": Choice("KDPM2AncestralDiscreteScheduler"),
    "dpmpp2m": Choice("DPMSolverMultistepScheduler", DPMPP),
    "dpmpp2m_karras": Choice("DPMSolverMultistepScheduler", {**DPMPP, **KARRAS}),
    "dpmpp2m_sde": Choice("DPMSolverMultistepScheduler", DPMPP_SDE),
    "dpmpp2m_sde_karras": Choice("DPMSolverMultistepScheduler", {**DPMPP_SDE, **KARRAS}),
    "unipc": Choice("UniPCMultistepScheduler", {"solver_order": 2, "solver_type": "bh2"}),
    "deis": Choice("DEISMultistepScheduler", {"algorithm_type": "deis", "solver_order": 2, "solver_type": "logrho"}),
    "lcm": Choice("LCMScheduler"),
}
"""By the contract's names in small letters."""

SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
"""Options that space the noise levels otherwise; a choice that doesn't ask for one takes the model's own levels."""
PREDICTIONS = ("epsilon", "v_prediction")
"""What a model may predict, for a scheduler other than its own."""


@cache
def known(kind: str) -> frozenset[str]:
    """The options that the scheduler class `kind` has."""
    return frozenset(inspect.signature(getattr(diffusers, kind).__init__).parameters)


def fitting(config: Mapping[str, Any]) -> list[str]:
    """Names of the schedulers that fit a model whose own scheduler has the configuration `config`."""
    # Flow matching and EDM have no betas: their models know only their own schedulers.
    if "beta_start" not in config or config.get("prediction_type", "epsilon") not in PREDICTIONS:
        return []
    needed = {name for name in ("prediction_type", "trained_betas", "rescale_betas_zero_snr") if config.get(name)}
    # Karras' levels reach up to the highest one, which is without bound where all of the picture ends in noise.
    bounded = not config.get("rescale_betas_zero_snr")
    return [
        name
        for name, choice in CHOICES.items()
        if needed <= known(choice.kind) and (bounded or not choice.options.get("use_karras_sigmas"))
    ]


def chosen(template: Any, name: str) -> Any:
    """A scheduler like `template`, of the sort that `name` says (one that fits), or of its own where `name` is empty."""
    if not name:
        return type(template).from_config(template.config)
    choice = CHOICES[name]
    options = {option: False for option in SPACINGS if option in known(choice.kind)}
    # Latents aren't pixels: clipping them, the default of some classes, is for models that say so.
    clip = {} if "clip_sample" in template.config else {"clip_sample": False}
    return getattr(diffusers, choice.kind).from_config(template.config, **{**options, **clip, **choice.options})


def check(name: str, fits: Sequence[str]) -> None:
    """Raises InvalidArgument where `name` is neither empty nor among `fits`."""
    if name and name not in fits:
        raise InvalidArgument.field(
            "scheduler",
            f"{name.replace('_', '-')} doesn't fit the model; it takes: {spoken(fits) or 'its own only'}",
        )


def spoken(names: Sequence[str]) -> str:
    """`names` for people."""
    return ", ".join(name.replace("_", "-") for name in names)


def timed(scheduler: Any, steps: int, **options: Any) -> Any:
    """`scheduler` with timesteps for `steps` steps. Raises InvalidArgument where it can't make so many or so few."""
    try:
        scheduler.set_timesteps(steps, **options)
    except ValueError as error:
        raise InvalidArgument.field("steps", f"the scheduler can't take {steps}: {error}") from error
    return scheduler
