"""What makes a model faster, on the model that ships: each setting draws the same picture, up to the order of sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from imajin.common.v1 import image_pb2
from imajin_servers.diffusion.models import loading
from imajin_servers.diffusion.models.speed import hasten
from imajin_servers.diffusion.settings import EMBEDDED, ModelEntry

DRAWN: dict[str, Any] = {"steps": 3, "width": 64, "height": 64, "format": image_pb2.IMAGE_FORMAT_RAW_RGB8}


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, np.uint8).astype(int)


async def test_each_setting_draws_the_same_picture(start: Any) -> None:
    names = {"plain": {}, "layout": {"channels_last": True}, "fused": {"fuse_projections": True}}
    models = [{"name": name, "source": str(EMBEDDED), **fields} for name, fields in names.items()]
    async with start(models=models, embedded=False) as server:
        drawn = {name: pixels((await server.generate(model=name, **DRAWN)).data) for name in names}
    for name in ("layout", "fused"):
        assert np.abs(drawn[name] - drawn["plain"]).max() <= 2, name


@torch.inference_mode()
@pytest.mark.parametrize(("setting", "tolerance"), [("compile_blocks", 1e-5), ("fp8_weights", 0.5)])
def test_the_denoiser_says_what_it_said(setting: str, tolerance: float) -> None:
    entry = ModelEntry(name="fast", source=str(EMBEDDED), **{setting: True})
    pipe = loading.load(entry, EMBEDDED, torch.device("cpu"), lambda done, total: None)
    pick = torch.Generator().manual_seed(0)
    latents, words = torch.randn(1, 12, 8, 8, generator=pick), torch.randn(1, 8, 384, generator=pick)
    before = pipe.unet(latents, 500, encoder_hidden_states=words).sample
    stored = pipe.unet.get_memory_footprint()
    hasten(pipe, entry, backend="eager")
    after = pipe.unet(latents, 500, encoder_hidden_states=words).sample
    torch.testing.assert_close(after, before, atol=tolerance, rtol=0)
    assert (pipe.unet.get_memory_footprint() < stored / 2) is (setting == "fp8_weights")


def test_what_excludes_each_other_is_said_at_the_start() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        ModelEntry(name="fast", source="", fp8_weights=True, compile_blocks=True)
