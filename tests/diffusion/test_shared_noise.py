"""Pictures of one seed and one canvas begin from one field of noise, each from its centre."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imajin.common.v1 import image_pb2
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Stepwise, wrap
from imajin_servers.runtime.status import from_call

ORDER = Order(registry.embedded(), "a cat", "", 64, 64, 2, 1.0, 7, 0, 50)
sides = st.integers(64, 640)
CANVAS = image_pb2.Size(width=96, height=96)


@pytest.fixture(scope="module")
def stepwise() -> Stepwise:
    model = registry.embedded()
    pipe = loading.load(model, loading.directory(model), torch.device("cpu"), lambda loaded, total: None)
    wrapped = wrap(pipe)
    assert isinstance(wrapped, Stepwise)
    return wrapped


def noise(stepwise: Stepwise, width: int, height: int, canvas: tuple[int, int] | None, seed: int = 7) -> torch.Tensor:
    order = replace(ORDER, width=width, height=height, noise_canvas=canvas, seed=seed)
    return stepwise.noise(order, torch.Generator("cpu").manual_seed(seed), torch.float32)


def centre(field: torch.Tensor, high: int, wide: int) -> torch.Tensor:
    top, left = (field.shape[-2] - high) // 2, (field.shape[-1] - wide) // 2
    return field[..., top : top + high, left : left + wide]


def means(field: torch.Tensor) -> torch.Tensor:
    return field.mean((2, 3), keepdim=True)


@settings(max_examples=60, deadline=None)
@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_two_shapes_share_what_they_have_in_common(
    stepwise: Stepwise, width: int, height: int, wide: int, high: int, seed: int
) -> None:
    canvas = max(width, wide), max(height, high)
    field = noise(stepwise, *canvas, None, seed)
    for size in ((width, height), (wide, high)):
        one = noise(stepwise, *size, canvas, seed)
        assert one.is_contiguous()
        assert one.shape == noise(stepwise, *size, None, seed).shape
        shared = centre(field, *one.shape[-2:])
        assert torch.allclose(one - means(one), shared - means(shared), atol=1e-5)
        scale = (field[0, 0].numel() / one[0, 0].numel()) ** 0.5
        assert torch.allclose(means(one), scale * means(field), atol=1e-5)


def test_shared_noise_is_white(stepwise: Stepwise) -> None:
    fields = torch.cat([noise(stepwise, 192, 64, (192, 128), seed) for seed in range(400)]).flatten(1)
    covariance = fields.T @ fields / len(fields)
    side = covariance.shape[0]
    assert abs(covariance.trace() / side - 1) < 0.02
    # In any direction: along the mean of a channel, where something was put in the place of something else, too.
    channels = stepwise.channels
    along = fields.reshape(400, channels, -1).sum(2) / (side / channels) ** 0.5
    assert abs(along.square().mean() - 1) < 0.06


def test_a_canvas_of_its_own_size_changes_nothing(stepwise: Stepwise) -> None:
    assert torch.equal(noise(stepwise, 100, 64, (100, 64)), noise(stepwise, 100, 64, None))
    assert not torch.equal(noise(stepwise, 64, 64, (100, 64)), noise(stepwise, 64, 64, None))


async def test_seed_and_canvas_say_it_all(diffusion: Any) -> None:
    plain, *same = [
        await diffusion.generate(width=64, height=96, noise_canvas=canvas) for canvas in (None, CANVAS, CANVAS)
    ]
    assert same[0].data == same[1].data != plain.data
    assert (same[0].result.width, same[0].result.height, same[0].result.seed) == (64, 96, 1)


@pytest.mark.parametrize("canvas", [(96, 64), (64, 95), (32, 96), (96, 5000)])
async def test_a_canvas_that_does_not_hold_the_picture_is_refused(diffusion: Any, canvas: tuple[int, int]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await diffusion.generate(width=64, height=96, noise_canvas=image_pb2.Size(width=canvas[0], height=canvas[1]))
    error = from_call(refused.value)
    assert error.reason == "INVALID_ARGUMENT"
    assert "noise_canvas" in error.violations[0].field
