"""The forecast: diffusers' own, with the bits that the plain pipeline gives with it, whoever else is there, and across pauses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.hooks.taylorseer_cache import TaylorSeerCacheConfig

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models.speed import FULL, misfit
from imajin_servers.diffusion.settings import ModelEntry

from .test_step_cache import asked, made, order, pipeline, replace, tensors

FORECAST = ["flux", "flux2 klein", "qwen-image"]


@pytest.mark.parametrize("name", FORECAST)
def test_it_draws_what_the_plain_pipeline_draws_with_the_same_forecast_in_any_company(name: str) -> None:
    family = made(name, step_forecast=3)
    wishes = [order(), order(8, guidance_scale=1.0), order(9, steps=5)]
    with asked(family.pipe.transformer) as counts:
        alone = [family.alone(wish) for wish in wishes]
    passes = sum(wish.steps * (2 if family.stepwise.guides(wish) else 1) for wish in wishes)
    assert {counts[at] for at in counts} == {counts[0]}
    assert 0 < counts[0] < 0.75 * passes
    assert not any(run.remembered for run in alone)

    other = pipeline(name)
    other.set_progress_bar_config(disable=True)
    config: Any = TaylorSeerCacheConfig(3, disable_cache_before_step=FULL, use_lite_mode=True)
    other.transformer.enable_cache(config)
    plain = replace(family, pipe=other).plain(wishes[0], "np")
    picture = family.stepwise.decode(alone[0].latents)
    assert np.array_equal(picture, (plain * 255).round().astype(np.uint8))

    engine = Engine("test", family.stepwise, max_batch=4, ageing=1.0)
    try:
        begun = [family.begun(wish) for wish in wishes]
        tickets = [engine.submit(run, lambda run: None) for run in begun]
        for _ in range(3):
            engine.pause()
            engine.move(torch.device("cpu"))
            engine.resume()
        together = [ticket.left.result(60) for ticket in tickets]
    finally:
        engine.close()
    assert [torch.equal(one.latents, run.latents) for one, run in zip(together, alone, strict=True)] == [True] * 3


def test_what_it_remembers_leaves_the_card_with_the_run() -> None:
    family = made("flux2 klein", step_forecast=3)
    run = family.begun(order())
    for _ in range(4):
        family.stepwise.step([run])
    held = list(tensors(run.remembered))
    assert held
    run.move(torch.device("meta"))
    gone = list(tensors(run.remembered))
    assert len(gone) == len(held)
    assert {tensor.device.type for tensor in gone} == {"meta"}


def test_it_is_off_and_refused_where_it_means_nothing() -> None:
    assert ModelEntry(name="tiny", source="").step_forecast == 0
    assert misfit(ModelEntry(name="z", source="", step_forecast=3), "ZImagePipeline") is not None
    assert misfit(ModelEntry(name="f", source="", step_forecast=3), "Flux2KleinPipeline") is None
    for fields in ({"step_cache": 0.1}, {"compile_blocks": True}):
        with pytest.raises(ValueError, match="exclude each other"):
            ModelEntry(name="both", source="", step_forecast=3, **fields)
    with pytest.raises(ValueError, match="step_forecast"):
        ModelEntry(name="far", source="", step_forecast=11)
