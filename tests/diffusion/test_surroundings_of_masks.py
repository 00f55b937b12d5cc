"""What of a picture is drawn for a mask, and how it comes back: as numbers, and through Edit."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin_servers.diffusion.sources import Source
from imajin_servers.diffusion.surroundings import CLOSEST, Lens, Part
from imajin_servers.runtime.status import from_call

from . import test_edits_of_images as edits

SDXL = Lens([(1024, 1024), (1216, 832), (832, 1216)], 2.0)
SIDES = st.integers(64, 700)


@given(SIDES, SIDES, st.data())
@settings(max_examples=60, deadline=None)
def test_the_view_holds_the_mask_and_what_is_around_it(width: int, height: int, data: Any) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    padding = data.draw(st.integers(0, 100))
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 255
    lens = Lens([(64, 64), (96, 64), (64, 96)], data.draw(st.sampled_from([1.0, 2.0, 8.0])))
    view = lens.view(mask, padding)
    if view is None:
        assert width * height <= 2 * 96 * 64
        return
    box, size = view
    assert 0 <= box[0] <= max(0, left - padding)
    assert 0 <= box[1] <= max(0, top - padding)
    assert width >= box[2] >= min(width, right + padding)
    assert height >= box[3] >= min(height, bottom + padding)
    wide, high = box[2] - box[0], box[3] - box[1]
    assert min(size) >= 64
    # Neither drawn so small that it is enlarged too far, nor much larger than that asks for.
    assert wide / size[0] <= lens.max_upscale * 1.1
    assert size[0] * size[1] <= max(1.4 * 96 * 64, 1.4 * wide * high / lens.max_upscale**2, 64 * max(size))

    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    part = Part(Source(picture, 1.0, mask), box, size)
    assert part.size == size
    assert part.finished_size == (width, height)
    made = part.finished(np.zeros((size[1] + 8, size[0] + 4, 3), np.uint8), 4)
    assert made.shape == picture.shape
    assert (made[mask == 0] == picture[mask == 0]).all()


def test_a_model_is_given_a_size_that_it_was_made_for() -> None:
    mask = np.zeros((4000, 3000), np.uint8)
    mask[500:900, 1000:1400] = 255
    assert SDXL.view(mask, 32) == ((968, 468, 1432, 932), (1024, 1024))
    # A face that is upright.
    mask[500:1100] |= mask[700]
    assert SDXL.view(mask, 32) == ((968, 461, 1432, 1139), (832, 1216))
    # By itself 599 // 8 around it.
    assert SDXL.view(mask, None) == ((926, 400, 1474, 1201), (832, 1216))
    # Not closer than four times, or all around is a blur.
    mask[:] = 0
    mask[100, 100] = 255
    side = round(1024 / CLOSEST)
    assert SDXL.view(mask, 0) == ((0, 0, side, side), (1024, 1024))
    # And not so small that it is enlarged too far.
    mask[:] = 255
    assert SDXL.view(mask, 32) == ((0, 0, 3000, 4000), (1504, 2000))
    mask[:] = 0
    assert SDXL.view(mask, 32) is None
    assert Lens([], 2.0).view(mask, 32) is None


@pytest.fixture(scope="module")
def large() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(noise).resize((600, 400), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def small_mask() -> Image.Image:
    mask = Image.new("L", (600, 400))
    ImageDraw.Draw(mask).ellipse((430, 50, 490, 110), fill=255)
    return mask


async def test_a_small_mask_in_a_large_picture_is_drawn_from_nearby(
    diffusion: Any, large: Image.Image, small_mask: Image.Image
) -> None:
    before, inside = np.asarray(large), np.asarray(small_mask) >= 128
    wish = {"mask_data": edits.encoded(small_mask), "format": edits.RAW, "steps": 2}
    made = {
        area: await diffusion.edit(edits.encoded(large), area=area, **wish)
        for area in ("EDIT_AREA_UNSPECIFIED", "EDIT_AREA_MASK", "EDIT_AREA_IMAGE")
    }
    pixels = {area: edits.pixels(heard) for area, heard in made.items()}
    for drawn in pixels.values():
        assert drawn.shape == (400, 600, 3)
        assert (drawn[~inside] == before[~inside]).all()
        assert (drawn[inside] != before[inside]).mean() > 0.8
    by_itself, nearby, whole = pixels.values()
    assert (by_itself == nearby).all()
    assert (nearby != whole).any()
    wider = await diffusion.edit(edits.encoded(large), mask_padding=100, **wish)
    assert (edits.pixels(wider) != nearby).any()
    # A picture that the model was made for is drawn whole.
    few = {**wish, "width": 96, "height": 64}
    assert (await diffusion.edit(edits.encoded(large), **few)).data == (
        await diffusion.edit(edits.encoded(large), area="EDIT_AREA_IMAGE", **few)
    ).data


async def test_a_canvas_of_noise_is_for_all_of_the_picture(
    diffusion: Any, large: Image.Image, small_mask: Image.Image
) -> None:
    fields = {"noise_canvas": {"width": 600, "height": 600}, "mask_data": edits.encoded(small_mask)}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await diffusion.edit(edits.encoded(large), area=pb.EDIT_AREA_MASK, **fields)
    assert [one.field for one in from_call(refused.value).violations] == ["noise_canvas"]
    assert not await diffusion.loaded()
