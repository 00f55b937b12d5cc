"""Models whose files or settings are wrong, all in one server: each says what it can, and the one that is well draws."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from safetensors.torch import load_file, save_file

from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin_servers.diffusion.settings import EMBEDDED
from imajin_servers.runtime.status import from_call

Break = Callable[[Path], object]
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"
HEADER = b'{"conv_in.weight": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}'


def weights(data: bytes) -> Break:
    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / WEIGHTS).write_bytes(data)

    return change


def index(**fields: Any) -> Break:
    def change(folder: Path) -> None:
        path = folder / "model_index.json"
        path.write_text(json.dumps({**json.loads((EMBEDDED / path.name).read_text()), **fields}))

    return change


def without_numbers(folder: Path) -> None:
    """An autoencoder that makes of everything what overflows of float16 leave."""
    (file,) = (folder / "vae").glob("*.safetensors")
    save_file({name: tensor * float("nan") for name, tensor in load_file(file).items()}, file, {"format": "pt"})


BROKEN: dict[str, Break] = {
    "weights are junk": weights(b"junk"),
    "weights are empty": weights(b""),
    "weights have a header without an end": weights(struct.pack("<Q", 2**62) + b"{}"),
    "weights have a header that is none": weights(struct.pack("<Q", 20) + b"x" * 20),
    "weights have a header of something else": weights(struct.pack("<Q", 7) + b'{"a":1}'),
    "weights are cut short": weights(struct.pack("<Q", len(HEADER)) + HEADER + bytes(100)),
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "no configuration": lambda folder: (folder / "unet" / "config.json").unlink(),
    "half a configuration": lambda folder: (folder / "unet" / "config.json").write_text('{"sample'),
    "no index": lambda folder: (folder / "model_index.json").unlink(),
    "an index that is none": lambda folder: (folder / "model_index.json").write_text("[1, 2]"),
    "a class that nobody knows": index(_class_name="NoSuchPipeline"),
    "code of its own": index(unet=["my_code", "MyNet"]),
    "a class of its own": index(_class_name=["my_pipeline", "MyPipeline"]),
    "a part from elsewhere": index(scheduler=["os", "system"]),
    "draws from images": index(_class_name="StableDiffusionImg2ImgPipeline"),
    "draws from nothing": index(_class_name="DDPMPipeline"),
}
SCHEDULERS = ("AutoencoderKL", "FlowMatchEulerDiscreteScheduler")


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str, Break], dict[str, Any]]:
    """Copies the model that ships, all but what isn't changed, and breaks it."""

    def make(name: str, change: Break) -> dict[str, Any]:
        path = tmp_path / name
        path.mkdir()
        for source in EMBEDDED.rglob("*"):
            target = path / source.relative_to(EMBEDDED)
            if source.is_dir():
                target.mkdir(parents=True)
            elif source.suffix == ".safetensors" and (change, source.parent.name) != (without_numbers, "vae"):
                target.symlink_to(source)
            else:
                target.write_bytes(source.read_bytes())
        change(path)
        return {"name": name, "source": str(path)}

    return make


async def refusal(server: Any, **fields: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await server.generate(width=64, height=64, steps=1, **fields)
    return from_call(refused.value)


async def test_broken_files_are_told_and_touch_no_other_model(start: Any, copied: Any) -> None:
    models = [copied(name, change) for name, change in BROKEN.items()]
    async with start(models=models) as server:
        listed = (await server.stub.ListModels(pb.ListModelsRequest())).models
        assert len(listed) == len(BROKEN) + 1
        reasons = {name: (await refusal(server, model=name)).reason for name in BROKEN}
        assert set(reasons.values()) == {"MODEL_NOT_FOUND"}, reasons
        assert (await server.generate(model="embedded", width=64, height=64, steps=1)).result.model == "embedded"
        assert [
            model.name for model in (await server.stub.ListModels(pb.ListModelsRequest())).models if model.loaded
        ] == ["embedded"]


async def test_a_scheduler_that_cannot_stand_in_is_told(start: Any) -> None:
    models = [{"name": name, "source": str(EMBEDDED), "scheduler": name} for name in SCHEDULERS]
    async with start(models=models, embedded=False) as server:
        assert {(await refusal(server, model=name)).reason for name in SCHEDULERS} == {"MODEL_NOT_FOUND"}
        assert not await server.loaded()


async def test_a_picture_of_numbers_that_overflowed_is_an_error_and_no_black_picture(start: Any, copied: Any) -> None:
    async with start(models=[copied("narrow", without_numbers)]) as server:
        error = await refusal(server, model="narrow")
        assert error.reason == "INTERNAL"
        assert "float16" in error.message
        assert (await server.generate(model="embedded", width=64, height=64, steps=1)).result.steps == 1


async def test_a_pipeline_that_makes_something_else_says_so(start: Any, copied: Any) -> None:
    async with start(models=[copied("film", index(_class_name="AnimateDiffPipeline"))]) as server:
        error = await refusal(server, model="film")
        assert error.reason in ("INVALID_ARGUMENT", "MODEL_NOT_FOUND")
