"""Flow transformers that draw from images: the bits of diffusers' own image pipelines, alone and in company."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    Flux2KleinInpaintPipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    QwenImageImg2ImgPipeline,
    QwenImageInpaintPipeline,
    UniPCMultistepScheduler,
    ZImageImg2ImgPipeline,
    ZImageInpaintPipeline,
)
from PIL import Image

from imajin_servers.diffusion.drawing import decoded
from imajin_servers.diffusion.models.registry import embedded
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Stepwise, wrap
from imajin_servers.diffusion.sources import prepared
from imajin_servers.runtime.errors import InvalidArgument

from .company import together
from .flows import MADE, Family, made

SIZE = (40, 24)
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8))
# Its edge runs through patches, and through latents.
MASK = Image.new("L", SIZE)
MASK.paste(255, (9, 6, 31, 19))
WHITE = Image.new("L", SIZE, 255)
PLAIN: dict[str, tuple[Any, Any]] = {
    "flux": (FluxImg2ImgPipeline, FluxInpaintPipeline),
    "flux distilled": (FluxImg2ImgPipeline, FluxInpaintPipeline),
    # It has no other pipeline for images that takes a strength; with all of it painted anew a mask says nothing.
    "flux2 klein": (Flux2KleinInpaintPipeline, Flux2KleinInpaintPipeline),
    "qwen-image": (QwenImageImg2ImgPipeline, QwenImageInpaintPipeline),
    "z-image": (ZImageImg2ImgPipeline, ZImageInpaintPipeline),
}


@pytest.fixture(scope="module", params=MADE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def family(name: str) -> Family:
    return made(name)


def order(strength: float | None = None, mask: Image.Image | None = None, **changes: Any) -> Order:
    plain = Order(embedded(), "a red car", "", *SIZE, 5, 3.5, 7, 0, 50)
    source = None if strength is None else prepared(IMAGE, strength, mask, *SIZE)
    return replace(plain, source=source, **changes)


def plain(name: str, family: Family, wish: Order, mask: Image.Image | None) -> Any:
    """What diffusers' own pipeline makes of `wish`."""
    kind = PLAIN[name][mask is not None]
    other = kind(**family.pipe.components)
    other.set_progress_bar_config(disable=True)
    for own in ("prompt_template_encode", "prompt_template_encode_start_idx"):
        if hasattr(family.pipe, own):
            setattr(other, own, getattr(family.pipe, own))
    masks = {} if mask is None else {"mask_image": mask}
    if kind is Flux2KleinInpaintPipeline:
        masks = {"mask_image": mask or WHITE}
    assert wish.source is not None
    return other(
        prompt=wish.prompt,
        image=IMAGE,
        width=wish.width,
        height=wish.height,
        strength=wish.source.strength,
        num_inference_steps=wish.steps,
        generator=torch.Generator("cpu").manual_seed(wish.seed),
        output_type="np",
        **family.told(wish),
        **masks,
    ).images[0]


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole image", "masked"])
def test_the_bits_are_those_of_the_plain_pipeline(name: str, family: Family, mask: Image.Image | None) -> None:
    for strength, changes in ((0.5, {}), (1.0, {}), (0.7, {"guidance_scale": 1.0}), (0.3, {"steps": 3})):
        wish = order(strength, mask, **changes)
        run = family.alone(wish)
        expected = plain(name, family, wish, mask)
        assert expected.std() > 0.05
        assert np.array_equal(family.stepwise.decode(run.latents), (expected * 255).round().astype(np.uint8))
        # These pipelines count the steps that are left out, so that one that is begun is made.
        assert run.made == run.planned == -(-wish.steps * strength // 1)


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole image", "masked"])
def test_the_bits_are_the_same_in_bfloat16(name: str, mask: Image.Image | None) -> None:
    family = made(name)
    for part in family.pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(torch.bfloat16)
    stepwise = wrap(family.pipe)
    assert isinstance(stepwise, Stepwise)
    wish = order(0.5, mask)
    run = replace(family, stepwise=stepwise).alone(wish)
    expected = plain(name, family, wish, mask)
    assert np.array_equal(stepwise.decode(run.latents), (expected * 255).round().astype(np.uint8))


def test_klein_with_nothing_kept_edits_as_its_own_pipeline_does() -> None:
    family = made("flux2 klein")
    image = IMAGE.resize((80, 64))
    wish = replace(order(), width=80, height=64, source=prepared(image, 1.0, None, 80, 64))
    expected = family.plain(wish, "np", image=image)
    assert np.array_equal(family.stepwise.decode(family.alone(wish).latents), (expected * 255).round().astype(np.uint8))
    assert not np.array_equal(expected, family.plain(wish, "np"))


def test_company_never_shows(family: Family) -> None:
    wishes = [
        order(),
        order(0.6, seed=1),
        order(0.6, MASK, seed=2),
        order(1.0, MASK, seed=3, steps=4),
        order(seed=4),
        order(0.4, seed=5, steps=8),
    ]
    alone = [family.alone(wish).latents for wish in wishes]
    runs = [family.begun(wish) for wish in wishes]
    latents, kinds = together(family.stepwise, runs, lambda some: len({run.known is None for run in some}))
    assert all(torch.equal(*pair) for pair in zip(latents, alone, strict=True))
    # A picture that is shown makes a pass longer; elsewhere edits go with those from noise.
    shown = family.stepwise.pass_rows(wishes[1]) > family.stepwise.pass_rows(wishes[0])
    assert kinds == (1 if shown else 2)


def test_outside_of_the_mask_every_pixel_stays(family: Family) -> None:
    wish = order(0.01, MASK)
    run = family.alone(wish)
    assert run.planned == 1
    pixels, mask = decoded(family.stepwise, run), np.asarray(MASK)
    assert (pixels[mask == 0] == np.asarray(IMAGE)[mask == 0]).all()
    assert (pixels[mask == 255] != np.asarray(IMAGE)[mask == 255]).mean() > 0.5


def test_previews_show_where_an_edit_is_going(family: Family) -> None:
    run = family.begun(order(0.6, MASK, preview_interval=1))
    while not run.done:
        family.stepwise.step([run])
    assert run.clean is not None
    assert torch.allclose(run.clean, run.latents, atol=1e-5)


def test_a_scheduler_that_hides_nothing_says_so() -> None:
    family = made("flux")
    family.pipe.scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    other = wrap(family.pipe)
    assert isinstance(other, Stepwise)
    assert not other.edits
    with pytest.raises(InvalidArgument, match="from prompts only"):
        replace(family, stepwise=other).begun(order(0.5))
