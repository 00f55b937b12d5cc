"""Every scheduler that a request may choose gives the bits of the plain pipeline with it, and fits the model's noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, StableDiffusionPAGPipeline

from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Stepwise, Whole, schedulers, wrap
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.runtime.errors import InvalidArgument

# numpy's notes on how these schedulers of diffusers read their tables.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept"),
]

BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TWICE = ("heun", "dpm2", "dpm2_ancestral")


def order(name: str, steps: int = 4) -> Order:
    return Order(ModelEntry(name="tiny", source=""), "a cat", "", 96, 64, steps, 4.0, 7, 0, 50, scheduler=name)


def plain(pipe: Any, name: str, wish: Order) -> torch.Tensor:
    """Latents of the pipeline's own call."""
    own = pipe.scheduler
    pipe.scheduler = schedulers.chosen(own, name)
    try:
        made = pipe(
            wish.prompt,
            width=wish.width,
            height=wish.height,
            num_inference_steps=wish.steps,
            guidance_scale=wish.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(wish.seed),
            output_type="latent",
        )
    finally:
        pipe.scheduler = own
    latents: torch.Tensor = made.images
    return latents


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_each_gives_the_bits_of_the_plain_pipeline(family: str, request: pytest.FixtureRequest) -> None:
    pipe = request.getfixturevalue(family)
    stepwise = wrap(pipe)
    assert isinstance(stepwise, Stepwise)
    assert stepwise.schedulers == list(schedulers.CHOICES)
    for name in ("", *schedulers.CHOICES):
        wish = order(name)
        run = stepwise.start(wish, stepwise.encode(wish))
        told = []
        while not run.done:
            stepwise.step([run])
            told.append(run.made)
        assert torch.equal(run.latents, plain(pipe, name, wish)), name
        assert torch.isfinite(run.latents).all(), name
        assert told[-1] == run.planned == 4
        assert (len(told) == 2 * 4 - 1) == (name in TWICE)


def test_karras_levels_are_other_levels(stable_diffusion: Any) -> None:
    stepwise = wrap(stable_diffusion)
    assert isinstance(stepwise, Stepwise)
    for name in ("euler", "dpmpp2m", "dpmpp2m_sde"):
        even, karras = (stepwise.schedule(order(one)).sigmas for one in (name, f"{name}_karras"))
        assert not torch.allclose(even, karras)


def test_without_bound_on_the_noise_those_that_need_one_are_left_out() -> None:
    fits = schedulers.fitting(DDIMScheduler(**BETAS, rescale_betas_zero_snr=True).config)
    assert {"ddim", "euler", "euler_ancestral", "dpmpp2m", "unipc", "lcm"} <= set(fits)
    assert not {"heun", "dpm2", "pndm", "deis", "euler_karras", "dpmpp2m_karras"} & set(fits)


@pytest.mark.parametrize(
    "config",
    [
        FlowMatchEulerDiscreteScheduler().config,
        DDIMScheduler(**BETAS, prediction_type="sample").config,
    ],
)
def test_none_fits_what_is_trained_otherwise(config: Any) -> None:
    assert schedulers.fitting(config) == []
    with pytest.raises(InvalidArgument, match="its own only"):
        schedulers.check("euler", schedulers.fitting(config))


def test_what_the_model_says_about_its_own_scheduler_is_not_taken_for_another(stable_diffusion: Any) -> None:
    own = schedulers.chosen(stable_diffusion.scheduler, "dpmpp2m_sde_karras")
    other = schedulers.chosen(own, "dpmpp2m").config
    assert (other.use_karras_sigmas, other.algorithm_type) == (False, "dpmsolver++")
    assert schedulers.chosen(own, "").config.use_karras_sigmas
    assert schedulers.chosen(own, "ddim").config.clip_sample is False


def test_more_steps_than_a_scheduler_has_is_an_error_of_the_request(stable_diffusion: Any) -> None:
    stepwise = wrap(stable_diffusion)
    assert isinstance(stepwise, Stepwise)
    wish = order("lcm", steps=60)
    with pytest.raises(InvalidArgument, match="steps"):
        stepwise.start(wish, stepwise.encode(wish))


def test_a_pipeline_that_runs_whole_takes_them_too(stable_diffusion: Any) -> None:
    whole = wrap(StableDiffusionPAGPipeline(**stable_diffusion.components, requires_safety_checker=False))
    assert isinstance(whole, Whole)
    drawn = {
        name: whole.draw(order(name), lambda step: None, lambda: None).tobytes() for name in ("", "ddim", "heun", "")
    }
    assert len(set(drawn.values())) == 3
    assert whole.draw(order(""), lambda step: None, lambda: None).tobytes() == drawn[""]
