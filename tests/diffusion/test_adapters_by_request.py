"""Adapters through the stub: named by requests, listed with the model, refused where there are none, never a path."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from pydantic import ValidationError

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin_servers.diffusion.models import registry
from imajin_servers.diffusion.settings import EMBEDDED, DiffusionSettings, LoraEntry, ModelEntry
from imajin_servers.runtime.status import from_call

SMALL: dict[str, Any] = {"width": 96, "height": 64, "format": image_pb2.IMAGE_FORMAT_RAW_RGB8}


def plain() -> Any:
    pipe = DiffusionPipeline.from_pretrained(EMBEDDED, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    # As the engine holds them: weights that could be trained take other kernels at so small a size.
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False)
    return pipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters of the embedded model, of random numbers."""
    folder = tmp_path_factory.mktemp("loras")
    pipe = plain()
    for seed, name in enumerate(("ink", "fur")):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
        pipe.unet.add_adapter(config, "default")
        layers = get_peft_model_state_dict(pipe.unet)
        pipe.delete_adapters(["default"])
        StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers, weight_name=f"{name}.safetensors")
    return folder


@pytest.fixture
def loras(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": "ink",
            "source": str(folder),
            "file": "ink.safetensors",
            "license": "CC0-1.0",
            "description": "Lines.",
        },
        {"name": "fur", "source": str(folder / "fur.safetensors"), "models": ["embedded"]},
        {"name": "gone", "source": str(folder / "gone.safetensors")},
    ]


async def test_the_bits_are_those_of_the_plain_pipeline_in_any_company(
    start: Any, folder: Path, loras: list[dict[str, Any]]
) -> None:
    wishes: list[list[dict[str, Any]]] = [
        [],
        [{"name": "ink"}],
        [{"name": "fur", "weight": 0.5}, {"name": "ink", "weight": -1}],
    ]
    async with start(loras=loras, max_loras=1) as server:
        together = await asyncio.gather(*(server.generate(**SMALL, loras=wish) for wish in wishes * 2))
        (model,) = (await server.stub.ListModels(pb.ListModelsRequest())).models
        assert [(lora.name, lora.license) for lora in model.loras] == [("ink", "CC0-1.0"), ("fur", ""), ("gone", "")]
        assert any(lora.loaded for lora in model.loras)
        edit = await server.generate(**SMALL)
        assert edit.data == together[0].data
    pipe = plain()
    for wish, heard in zip(wishes * 2, together, strict=True):
        for name in {one["name"] for one in wish} - set(pipe.get_list_adapters().get("unet", ())):
            with pytest.warns() if pipe.get_list_adapters() else np.errstate():
                pipe.load_lora_weights(folder, weight_name=f"{name}.safetensors", adapter_name=name)
        if wish:
            pipe.enable_lora()
            pipe.set_adapters([one["name"] for one in wish], [one.get("weight", 1.0) for one in wish])
        elif pipe.get_list_adapters():
            pipe.disable_lora()
        made = pipe(
            "a happy panda",
            width=96,
            height=64,
            num_inference_steps=3,
            guidance_scale=model.default_guidance_scale,
            generator=torch.Generator("cpu").manual_seed(1),
        ).images[0]
        assert heard.data == np.asarray(made).tobytes(), wish


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ([{"name": "no-such"}], "NOT_FOUND"),
        ([{"name": "../../etc/passwd"}], "NOT_FOUND"),
        ([{"name": "gone"}], "NOT_FOUND"),
        ([{"name": "ink"}, {"name": "ink", "weight": 0.5}], "INVALID_ARGUMENT"),
        ([{"name": ""}], "INVALID_ARGUMENT"),
        ([{"name": "ink", "weight": 5}], "INVALID_ARGUMENT"),
        ([{"name": "ink", "weight": float("nan")}], "INVALID_ARGUMENT"),
        ([{"name": str(number)} for number in range(5)], "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_had_is_a_typed_error(
    start: Any, loras: list[dict[str, Any]], wish: list[dict[str, Any]], reason: str
) -> None:
    async with start(loras=loras) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(**SMALL, loras=wish)
        assert from_call(refused.value).reason == reason
        if wish[0]["name"] == "no-such":
            assert from_call(refused.value).metadata["known"] == "ink, fur, gone"


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError):
        LoraEntry(name="a.b", source="")
    one = LoraEntry(name="ink", source="x")
    for loras, problem in (
        ([one, one], "of one name"),
        ([one.model_copy(update={"models": ["none"]})], "not in the registry"),
    ):
        with pytest.raises(ValueError, match=problem):
            registry.from_settings(DiffusionSettings(loras=loras))
    known = registry.Registry(
        [ModelEntry(name="a", source=""), ModelEntry(name="b", source="")],
        "",
        [one, LoraEntry(name="only-b", source="", models=["b"])],
    )
    for change in ("fuse_projections", "compile_blocks"):
        assert known.loras_of(known.models[1].model_copy(update={change: True})) == []
    assert [[lora.name for lora in known.loras_of(model)] for model in known.models] == [["ink"], ["ink", "only-b"]]
