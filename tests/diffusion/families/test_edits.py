"""Drawing from images: the bits of diffusers' own image pipelines where these take the model, and pixels that stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imajin_servers.diffusion.drawing import begun, decoded, recognised
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, schedulers, wrap
from imajin_servers.diffusion.settings import ModelEntry
from imajin_servers.diffusion.sources import Source, feathered, prepared
from imajin_servers.runtime.errors import InvalidArgument

from .company import together

# numpy's notes on how these schedulers of diffusers read their tables.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept"),
]

BARE = Order(ModelEntry(name="tiny", source=""), "a cat", "a dog", 96, 64, 5, 4.0, 7, 0, 50)
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8).repeat(1, 0))
MASK = Image.new("L", (96, 64))
MASK.paste(255, (24, 16, 72, 48))
SIMPLE = [
    "",
    "ddim",
    "ddpm",
    "pndm",
    "euler_ancestral",
    "dpm2_ancestral",
    "heun",
    "dpmpp2m",
    "dpmpp2m_sde",
    "unipc",
    "lcm",
]
PLAIN: dict[str, Any] = {
    "stable_diffusion": (StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline),
    "stable_diffusion_xl": (StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline),
}


def wish(strength: float, mask: Image.Image | None = None, **changes: Any) -> Order:
    return replace(BARE, source=prepared(IMAGE, strength, mask, BARE.width, BARE.height), **changes)


def started(stepwise: Stepwise, order: Order) -> Run:
    known = None if order.source is None else recognised(stepwise, order, order.source)
    return begun(stepwise, order, known)


def drawn(stepwise: Stepwise, order: Order) -> Run:
    run = started(stepwise, order)
    while not run.done:
        stepwise.step([run])
    return run


def plain(pipe: Any, order: Order, **more: Any) -> torch.Tensor:
    source = order.source
    assert source is not None
    made: torch.Tensor = pipe(
        order.prompt,
        negative_prompt=order.negative_prompt,
        image=Image.fromarray(source.pixels),
        strength=source.strength,
        num_inference_steps=order.steps,
        guidance_scale=order.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(order.seed),
        output_type="latent",
        **more,
    ).images
    return made


@pytest.mark.parametrize("family", list(PLAIN))
@pytest.mark.parametrize("masked", [False, True], ids=["whole image", "masked"])
def test_the_bits_are_those_of_the_plain_pipeline(family: str, masked: bool, request: pytest.FixtureRequest) -> None:
    pipe = request.getfixturevalue(family)
    stepwise = wrap(pipe)
    assert isinstance(stepwise, Stepwise)
    assert stepwise.edits
    own = pipe.scheduler
    kind = PLAIN[family][masked]
    extra = {"requires_safety_checker": False} if family == "stable_diffusion" else {}
    more = {"mask_image": MASK, "width": 96, "height": 64} if masked else {}
    for name in SIMPLE:
        for strength in (0.5, 1.0) if name in SIMPLE[:5] else (0.7,):
            order = wish(strength, MASK if masked else None, scheduler=name)
            run = drawn(stepwise, order)
            other = kind(**{**pipe.components, "scheduler": schedulers.chosen(own, name)}, **extra)
            other.set_progress_bar_config(disable=True)
            assert torch.equal(run.latents, plain(other, order, **more)), (name, strength)
            assert run.made == run.planned == int(5 * strength)


def test_those_of_one_shape_share_passes_with_those_from_noise(stable_diffusion: Any) -> None:
    stepwise = wrap(stable_diffusion)
    assert isinstance(stepwise, Stepwise)
    wishes = [
        BARE,
        wish(0.6),
        wish(1.0, MASK, seed=3),
        wish(0.4, MASK, scheduler="euler_ancestral"),
        replace(BARE, seed=5),
    ]
    alone = [drawn(stepwise, order).latents for order in wishes]
    latents, most = together(stepwise, [started(stepwise, order) for order in wishes], len)
    assert all(torch.equal(*pair) for pair in zip(latents, alone, strict=True))
    assert most > 1


@pytest.mark.parametrize("strength", [0.01, 0.3, 1.0])
def test_outside_of_the_mask_every_pixel_stays(stable_diffusion: Any, strength: float) -> None:
    stepwise = wrap(stable_diffusion)
    assert isinstance(stepwise, Stepwise)
    order = wish(strength, MASK)
    # A size between the model's steps: the picture is drawn in the middle of a larger canvas.
    odd = prepared(IMAGE.crop((3, 2, 94, 61)), strength, MASK.crop((3, 2, 94, 61)), 91, 59)
    for one in (order, replace(BARE, source=odd, width=91, height=59)):
        assert one.source is not None
        run = drawn(stepwise, one)
        assert run.planned == max(1, int(5 * strength))
        canvas = one.source.on_canvas(*stepwise.drawn_size(one))
        assert canvas.mask is not None
        made = decoded(stepwise, run)
        left, top = (canvas.size[0] - one.width) // 2, (canvas.size[1] - one.height) // 2
        inner = made[top : top + one.height, left : left + one.width]
        mask = one.source.mask
        assert mask is not None
        assert (inner[mask == 0] == one.source.pixels[mask == 0]).all()
        assert (inner[mask == 255] != one.source.pixels[mask == 255]).mean() > 0.5
        middle = feathered(canvas.mask, 4) == 255
        assert (made[middle] == stepwise.decode(run.latents)[middle]).all()


def test_a_mask_that_is_all_white_paints_all_of_it(stable_diffusion: Any) -> None:
    stepwise = wrap(stable_diffusion)
    assert isinstance(stepwise, Stepwise)
    run = drawn(stepwise, wish(0.6, Image.new("L", (96, 64), 255)))
    assert (decoded(stepwise, run) == stepwise.decode(run.latents)).all()
    none = drawn(stepwise, wish(0.6, Image.new("L", (96, 64), 0)))
    assert (decoded(stepwise, none) == np.asarray(IMAGE)).all()


def test_a_denoiser_for_inpainting_only_says_so(stable_diffusion: Any) -> None:
    stepwise = wrap(stable_diffusion)
    assert isinstance(stepwise, Stepwise)
    stepwise.denoiser.register_to_config(in_channels=9)
    assert not stepwise.edits
    with pytest.raises(InvalidArgument, match="from prompts only"):
        started(stepwise, wish(0.5))


sides = st.integers(1, 60)


@settings(max_examples=60, deadline=None)
@given(wide=sides, high=sides, width=sides, height=sides, seam=st.integers(0, 9), seed=st.integers(0, 99))
def test_sources_fit_any_size_and_paste_back(
    wide: int, high: int, width: int, height: int, seam: int, seed: int
) -> None:
    pick = np.random.default_rng(seed)
    image = Image.fromarray(pick.integers(0, 256, (high, wide, 3), np.uint8))
    mask = Image.fromarray(pick.integers(0, 256, (high, wide), np.uint8))
    source = prepared(image, 0.5, mask, width, height)
    assert source.size == (width, height)
    assert source.mask is not None
    assert set(np.unique(source.mask)) <= {0, 255}
    canvas = source.on_canvas(width + seed % 8, height + seed % 7)
    left, top = (seed % 8) // 2, (seed % 7) // 2
    assert (canvas.pixels[top : top + height, left : left + width] == source.pixels).all()
    painted = pick.integers(0, 256, (height, width, 3), np.uint8)
    mixed = source.around(painted, seam)
    assert (mixed[source.mask == 0] == source.pixels[source.mask == 0]).all()
    low, high_ = np.minimum(painted, source.pixels), np.maximum(painted, source.pixels)
    assert ((low <= mixed) & (mixed <= high_)).all()


def test_equal_sources_are_equal_to_whoever_names_them() -> None:
    first, again = prepared(IMAGE, 0.5, MASK, 96, 64), prepared(IMAGE, 0.5, MASK, 96, 64)
    other = Source(first.pixels, 0.5, None)
    assert repr(first) == repr(again) != repr(other)
