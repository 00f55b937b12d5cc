"""Previews: a linear map that is fitted to the autoencoder at hand, close to what that decodes and far cheaper."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image
from torch.nn import functional

from imajin_servers.diffusion.pipelines import Stepwise
from imajin_servers.diffusion.previews import previewer, projection
from imajin_servers.diffusion.settings import EMBEDDED


class Family:
    """What the fit needs of a family."""

    latents_of = Stepwise.latents_of

    def __init__(self, vae: Any, cell: int) -> None:
        self.pipe = SimpleNamespace(vae=vae)
        self.cell = cell


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal to noise of pictures from 0 to 1."""
    return float(-10 * torch.log10((a - b).square().mean()))


@torch.inference_mode()
def test_a_projection_comes_close_to_what_the_autoencoder_decodes() -> None:
    vae = AutoencoderTiny.from_pretrained(EMBEDDED / "vae", torch_dtype=torch.float32)
    fit = projection.fitted(Family(vae, 16))
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 320), indexing="ij")
    disc = (rows**2 + columns**2 < 0.5).float()
    picture = torch.stack([disc * 1.6 - 0.8, rows, -disc])[None]
    latents = Stepwise.latents_of(Family(vae, 16), vae, picture)
    decoded = (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    for patch in (8, 4, 2):
        seen = functional.interpolate(decoded, size=(16 * patch, 20 * patch), mode="area")
        # What a single colour a latent reached was 13.
        assert decibels(fit.colours(latents, patch), seen) > 18


def test_smaller_patches_are_the_means_of_larger_ones() -> None:
    pick = torch.Generator().manual_seed(1)
    fit = projection.Projection(torch.randn(1 + 4 * 9, 192, generator=pick) * 0.01)
    latents = torch.randn(1, 4, 5, 7, generator=pick)
    means = functional.avg_pool2d(fit.colours(latents, 8), 4)
    torch.testing.assert_close(fit.colours(latents, 2), means, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_an_autoencoder_that_is_linear_is_met() -> None:
    def encode(images: torch.Tensor) -> Any:
        return SimpleNamespace(latents=functional.pixel_unshuffle(images, 2))

    config = SimpleNamespace(scaling_factor=0.5, shift_factor=0.25)
    vae = SimpleNamespace(encode=encode, config=config, device=torch.device("cpu"), dtype=torch.float32)
    fit = projection.fitted(Family(vae, 2))
    pictures = projection.pictures(1, 32)
    latents = Stepwise.latents_of(Family(vae, 2), vae, pictures)
    shown = fit.colours(latents, 2)
    assert shown.shape == (1, 3, 32, 32)
    assert decibels(shown, pictures / 2 + 0.5) > 25


@pytest.mark.parametrize(
    "scaling",
    [
        {"scaling_factor": 0.3},
        {"scaling_factor": 0.3, "shift_factor": 0.1},
        {"scaling_factor": 0.3, "latents_mean": [0.1, 0.2], "latents_std": [2.0, 3.0]},
    ],
)
@torch.inference_mode()
def test_latents_are_scaled_as_pipelines_scale_them(scaling: dict[str, Any]) -> None:
    vae = AutoencoderKL(latent_channels=2, block_out_channels=(8, 8), norm_num_groups=4, **FOUR).eval()
    vae.register_to_config(**scaling)
    images = projection.pictures(1, 16)
    latents = Stepwise.latents_of(Family(vae, 2), vae, images)
    mean = torch.tensor(scaling.get("latents_mean", [0.0, 0.0])).view(1, -1, 1, 1)
    deviation = torch.tensor(scaling.get("latents_std", [1.0, 1.0])).view(1, -1, 1, 1)
    back = latents * deviation / scaling["scaling_factor"] + scaling.get("shift_factor", 0.0) + mean
    torch.testing.assert_close(back, vae.encode(images).latent_dist.mean)


FOUR: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}


@pytest.mark.parametrize(("latents", "side"), [(4, 8), (16, 8), (24, 8), (25, 4), (96, 2), (128, 1), (512, 1)])
def test_patches_are_as_large_as_a_thumbnail_needs(latents: int, side: int) -> None:
    assert previewer.patch(latents) == side


@pytest.mark.parametrize("way", ["projection", "autoencoder"])
async def test_each_way_shows_the_picture_in_the_making(start: Any, way: str) -> None:
    async with start(previews=way) as server:
        heard = await server.generate(prompt="a red apple", steps=8, preview_interval=6)
    finished = Image.open(io.BytesIO(heard.data)).convert("RGB")
    preview = Image.open(io.BytesIO(heard.previews[-1].image_data))
    assert preview.size == ((128, 128) if way == "projection" else (256, 256))
    difference = np.asarray(finished.resize(preview.size), float) - np.asarray(preview, float)
    # The picture against its own middle colour differs more.
    assert np.abs(difference).mean() < 30


async def test_the_denoiser_waits_for_no_preview_and_the_latest_is_made_next(
    diffusion: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, picture = threading.Event(), previewer.Previewer.picture

    def slow(self: previewer.Previewer, latents: torch.Tensor) -> Image.Image:
        assert go.wait(60)
        return picture(self, latents)

    monkeypatch.setattr(previewer.Previewer, "picture", slow)
    call = diffusion.stub.Generate(diffusion.request(steps=120, width=64, height=64, preview_interval=2))
    shown = []
    async for event in call:
        # The first preview is in the making all the while.
        if event.progress.denoising.step >= 10:
            go.set()
        if event.HasField("preview"):
            shown.append(event.preview.step)
    assert go.is_set()
    assert shown[0] == 2
    assert shown[1] >= 8
    assert shown == sorted(set(shown))


def test_a_large_preview_stays_within_what_the_contract_allows() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    assert len(previewer.jpeg(Image.fromarray(noise))) <= previewer.LIMIT
