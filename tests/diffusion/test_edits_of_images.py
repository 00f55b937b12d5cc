"""Edit through its stub: what comes back, what stays, what is refused, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin_servers.diffusion.settings import EMBEDDED
from imajin_servers.runtime.status import from_call

# numpy's note on how these schedulers of diffusers read their tables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

RAW = image_pb2.IMAGE_FORMAT_RAW_RGB8


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def pixels(heard: Any) -> Any:
    return np.frombuffer(heard.data, np.uint8).reshape(heard.result.height, heard.result.width, 3)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(noise).resize((96, 64), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    mask = Image.new("L", (96, 64))
    mask.paste(255, (32, 16, 80, 48))
    return mask


async def test_it_is_bit_for_bit_what_the_plain_pipeline_draws(diffusion: Any, photo: Image.Image) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline

    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(EMBEDDED, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    # torch folds some products otherwise for weights that could be trained.
    pipe.unet.requires_grad_(False)
    for strength in (0.7, 1.0):
        heard = await diffusion.edit(encoded(photo), strength=strength, steps=10, guidance_scale=4.5, format=RAW)
        plain = pipe(
            "a happy panda",
            image=photo,
            strength=strength,
            num_inference_steps=10,
            guidance_scale=4.5,
            generator=torch.Generator("cpu").manual_seed(1),
        ).images[0]
        assert heard.data == np.asarray(plain).tobytes()
        assert heard.result.steps == round(10 * strength)


async def test_inside_of_the_mask_is_new_and_outside_stays(
    diffusion: Any, photo: Image.Image, mask: Image.Image
) -> None:
    for size in ((96, 64), (101, 70)):
        image, where = photo.resize(size), mask.resize(size)
        heard = await diffusion.edit(encoded(image), mask_data=encoded(where), format=RAW)
        assert heard.result.steps == 4
        made, before, inside = pixels(heard), np.asarray(image), np.asarray(where) >= 128
        assert (made[~inside] == before[~inside]).all()
        assert (made[inside] != before[inside]).mean() > 0.8


async def test_it_tells_what_a_generation_tells(diffusion: Any, photo: Image.Image) -> None:
    heard = await diffusion.edit(encoded(photo), steps=12, strength=0.5, preview_interval=2)
    phases = ["queued", "loading_model", "encoding_prompt", "denoising", "decoding", "finishing"]
    assert list(dict.fromkeys(heard.phases)) == phases
    assert heard.steps[-1] == 6
    assert heard.previews
    assert Image.open(io.BytesIO(heard.data)).size == (96, 64) == (heard.result.width, heard.result.height)


async def test_sizes_and_sorts_of_uploads(diffusion: Any, photo: Image.Image) -> None:
    whole = await diffusion.edit(encoded(photo), format=RAW)
    inline = await diffusion.edit(b"", image_data=encoded(photo), format=RAW)
    info = image_pb2.ImageInfo(format=RAW, width=96, height=64)
    bare = await diffusion.edit(np.asarray(photo).tobytes(), info, format=RAW)
    assert whole.data == inline.data == bare.data
    half = await diffusion.edit(encoded(photo.resize((960, 640)), "JPEG"), width=96, format=RAW)
    assert (half.result.width, half.result.height) == (96, 64)
    assert np.abs(pixels(half).astype(int) - pixels(whole)).mean() < 12
    square = await diffusion.edit(encoded(photo, "WEBP"), width=64, height=64, text_overlay={"text": "Hi"}, steps=1)
    assert (square.result.width, square.result.height) == (64, 64)


async def test_company_and_pauses_never_show(diffusion: Any, photo: Image.Image, mask: Image.Image) -> None:
    small = {"width": 96, "height": 64, "format": RAW}
    alone = [
        (await diffusion.generate(**small, steps=6)).data,
        (await diffusion.edit(encoded(photo), steps=8, format=RAW)).data,
        (
            await diffusion.edit(
                encoded(photo), mask_data=encoded(mask), scheduler="SCHEDULER_EULER_ANCESTRAL", format=RAW
            )
        ).data,
    ]
    leaver = await diffusion.begun(**small)
    together = asyncio.gather(
        diffusion.generate(**small, steps=6),
        diffusion.edit(encoded(photo), steps=8, format=RAW),
        diffusion.edit(encoded(photo), mask_data=encoded(mask), scheduler="SCHEDULER_EULER_ANCESTRAL", format=RAW),
    )
    await asyncio.sleep(0)
    leaver.cancel()
    assert [heard.data for heard in await together] == alone


async def test_a_dropped_call_frees_its_place_and_its_bytes(start: Any, photo: Image.Image) -> None:
    data = encoded(photo)
    async with start(max_active=1, max_queue=0, uploads={"max_bytes_in_flight": 96 * 64 * 3 + len(data)}) as server:
        spec = pb.EditSpec(prompt="a cat", steps=150, strength=1, image_data=data)
        call = server.stub.Edit(iter([pb.EditRequest(spec=spec)]))
        async for event in call:
            if event.progress.denoising.step > 0:
                break
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.edit(data)
        assert from_call(refused.value).reason == "QUEUE_FULL"
        call.cancel()
        while isinstance(heard := (await asyncio.gather(server.edit(data), return_exceptions=True))[0], Exception):
            assert isinstance(heard, grpc.aio.AioRpcError)
            assert from_call(heard).reason == "QUEUE_FULL"
        assert heard.result.steps == 3


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"prompt": " "}, "INVALID_ARGUMENT", "prompt"),
        ({"strength": 0.0}, "INVALID_ARGUMENT", "spec.strength"),
        ({"strength": 1.5}, "INVALID_ARGUMENT", "spec.strength"),
        ({"model": "no-such-model"}, "MODEL_NOT_FOUND", ""),
        ({"loras": [{"name": "no-such-adapter"}]}, "NOT_FOUND", ""),
        ({"scheduler": "SCHEDULER_HEUN"}, "INVALID_ARGUMENT", "scheduler"),
        ({"width": 4000, "height": None}, "INVALID_ARGUMENT", "height"),
        ({"image_data": b"x"}, "INVALID_ARGUMENT", "image"),
        ({"mask_data": b"not an image"}, "IMAGE_INVALID", ""),
        ({"noise_canvas": {"width": 64, "height": 64}}, "INVALID_ARGUMENT", "noise_canvas"),
        ({"prompt": "n4ked ch1ld"}, "CONTENT_REJECTED", ""),
    ],
)
async def test_bad_specs_are_refused_before_anything_is_drawn(
    diffusion: Any, fields: dict[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await diffusion.edit(encoded(Image.new("RGB", (64, 90))), **fields)
    error = from_call(refused.value)
    assert error.reason == reason
    if field:
        assert [violation.field for violation in error.violations] == [field]
    assert not await diffusion.loaded()


async def test_bad_uploads_are_refused_before_they_are_decoded(
    start: Any, photo: Image.Image, mask: Image.Image
) -> None:
    limits = {"max_pixels": 10_000, "max_bytes": 60_000}
    async with start(uploads=limits) as server:
        cases: list[tuple[bytes, dict[str, Any], str]] = [
            (b"", {}, "INVALID_ARGUMENT"),
            (b"nothing that is known", {}, "IMAGE_INVALID"),
            (encoded(photo)[:-200], {}, "IMAGE_INVALID"),
            (encoded(Image.new("RGB", (200, 100))), {}, "IMAGE_TOO_LARGE"),
            (bytes(70_000), {}, "IMAGE_TOO_LARGE"),
            (encoded(photo), {"mask_data": encoded(Image.new("L", (200, 100)))}, "IMAGE_TOO_LARGE"),
            (encoded(Image.new("RGB", (30, 30))), {}, "INVALID_ARGUMENT"),
        ]
        for data, fields, reason in cases:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await server.edit(data, **fields)
            assert from_call(refused.value).reason == reason
        assert not await server.loaded()
        assert (await server.edit(encoded(photo), mask_data=encoded(mask), steps=1)).result.steps == 1


async def test_a_model_that_draws_from_prompts_only_says_so(start: Any, tmp_path: Any, photo: Image.Image) -> None:
    import json

    for part in EMBEDDED.iterdir():
        if part.is_dir():
            (tmp_path / part.name).symlink_to(part)
    index = json.loads((EMBEDDED / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": "StableDiffusionPAGPipeline"}))
    async with start(models=[{"name": "whole", "source": str(tmp_path)}]) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.edit(encoded(photo), model="whole")
        assert from_call(refused.value).reason == "INVALID_ARGUMENT"
        listed = {model.name: model for model in (await server.stub.ListModels(pb.ListModelsRequest())).models}
        assert (listed["whole"].edits, listed["embedded"].edits) == (False, True)
