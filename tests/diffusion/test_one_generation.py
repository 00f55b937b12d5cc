"""One image: what is heard on the way, what comes out, and that it is what the plain pipeline draws."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin_servers.diffusion.engine import engine
from imajin_servers.diffusion.engine.policy import next_batch
from imajin_servers.diffusion.pipelines import Stepwise
from imajin_servers.diffusion.settings import EMBEDDED


def reason(error: grpc.aio.AioRpcError) -> str:
    from imajin_servers.runtime.status import from_call

    return from_call(error).reason


def plain(prompt: str, negative: str, width: int, height: int, steps: int, guidance: float, seed: int) -> bytes:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(EMBEDDED, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    return np.asarray(made.images[0]).tobytes()


@pytest.mark.parametrize("guidance", [4.5, 1.0])
async def test_it_is_bit_for_bit_what_the_plain_pipeline_draws(diffusion: Any, guidance: float) -> None:
    heard = await diffusion.generate(
        prompt="a red car",
        negative_prompt="blue",
        width=128,
        height=192,
        steps=4,
        guidance_scale=guidance,
        seed=0,
        format=image_pb2.IMAGE_FORMAT_RAW_RGB8,
    )
    assert heard.data == plain("a red car", "blue", 128, 192, 4, guidance, 0)
    assert heard.result.seed == 0


async def test_phases_come_in_order_and_every_step_is_told(diffusion: Any) -> None:
    heard = await diffusion.generate(steps=5, preview_interval=1)
    order = ["queued", "loading_model", "encoding_prompt", "denoising", "decoding", "finishing"]
    assert list(dict.fromkeys(heard.phases)) == order
    assert heard.steps == sorted(set(heard.steps))
    assert heard.steps[-1] == 5
    fractions = [event.progress.fraction for event in heard.events if event.HasField("progress")]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


async def test_the_first_event_comes_before_the_work(diffusion: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go, encode = threading.Event(), Stepwise.start

    def held(self: Stepwise, *args: Any) -> Any:
        assert go.wait(60)
        return encode(self, *args)

    monkeypatch.setattr(Stepwise, "start", held)
    call = diffusion.stub.Generate(pb.GenerateRequest(prompt="a cat", steps=1))
    kinds = []
    async for event in call:
        kinds.append(event.progress.WhichOneof("phase"))
        # Nothing is drawn before this was heard.
        go.set()
    assert kinds[0] == "queued"
    assert event.HasField("result")


async def test_who_goes_next_is_decided_by_how_long_somebody_waits(
    diffusion: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float | None] = []

    def watched(candidates: Any, *rest: Any) -> Any:
        seen.extend(candidate.time_left for candidate in candidates)
        return next_batch(candidates, *rest)

    monkeypatch.setattr(engine, "next_batch", watched)
    await diffusion.generate(timeout=60, steps=2, width=64, height=64)
    assert seen
    assert all(left is not None and 0 < left < 70 for left in seen)
    assert seen == sorted(seen, key=lambda left: -(left or 0)), "it grows less"
    seen.clear()
    await diffusion.generate(steps=2, width=64, height=64)
    assert set(seen) == {None}


async def test_previews_are_small_pictures_of_the_steps_asked_for(diffusion: Any) -> None:
    heard = await diffusion.generate(steps=12, preview_interval=4, width=320, height=192)
    assert heard.previews
    for preview in heard.previews:
        assert preview.step in (4, 8)
        assert len(preview.image_data) <= 64 * 1024
        image = Image.open(io.BytesIO(preview.image_data))
        assert image.format == "JPEG"
        assert image.size == (preview.info.width, preview.info.height)
        assert max(image.size) <= 256


async def test_no_preview_that_was_not_asked_for(diffusion: Any) -> None:
    assert not (await diffusion.generate()).previews


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("PNG", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WEBP"), ("AVIF", "AVIF"), ("UNSPECIFIED", "PNG")],
)
async def test_every_encoding_opens(diffusion: Any, encoding: str, name: str) -> None:
    heard = await diffusion.generate(steps=1, width=96, height=64, format=f"IMAGE_FORMAT_{encoding}")
    image = Image.open(io.BytesIO(heard.data))
    image.load()
    assert (image.format, image.size) == (name, (96, 64))
    assert image_pb2.ImageFormat.Name(heard.result.format) == f"IMAGE_FORMAT_{name}"
    info = next(event.chunk.info for event in heard.events if event.HasField("chunk"))
    assert info.sha256 == hashlib.sha256(heard.data).digest()
    assert info.size_bytes == len(heard.data)


async def test_a_size_between_the_models_steps_is_the_middle_of_the_next_larger(diffusion: Any) -> None:
    raw = image_pb2.IMAGE_FORMAT_RAW_RGB8
    odd = await diffusion.generate(width=101, height=70, format=raw)
    whole = await diffusion.generate(width=112, height=80, format=raw)
    pixels = np.frombuffer(whole.data, np.uint8).reshape(80, 112, 3)
    assert odd.data == pixels[5:75, 5:106].tobytes()


async def test_defaults_are_the_models_and_come_back(diffusion: Any) -> None:
    (model,) = (await diffusion.stub.ListModels(pb.ListModelsRequest())).models
    assert (model.name, model.is_default, model.loaded) == ("embedded", True, False)
    assert model.weight_bytes > 10_000_000
    call = diffusion.stub.Generate(pb.GenerateRequest(prompt="a dog", steps=1))
    result = [event async for event in call][-1].result
    assert (result.width, result.height) == (model.base_sizes[0].width, model.base_sizes[0].height)
    assert result.guidance_scale == pytest.approx(model.default_guidance_scale)
    assert result.model == "embedded"
    assert result.timings.denoising_ms > 0
    (model,) = (await diffusion.stub.ListModels(pb.ListModelsRequest())).models
    assert model.loaded


async def test_an_absent_seed_is_random_and_repeats_when_given(diffusion: Any) -> None:
    drawn = []
    for _ in range(2):
        call = diffusion.stub.Generate(pb.GenerateRequest(prompt="a dog", steps=2, width=64, height=64))
        events = [event async for event in call]
        drawn.append((events[-1].result.seed, b"".join(e.chunk.data for e in events if e.HasField("chunk"))))
    assert drawn[0][0] != drawn[1][0]
    again = await diffusion.generate(prompt="a dog", steps=2, width=64, height=64, seed=drawn[0][0])
    assert again.data == drawn[0][1]


async def test_a_prompt_longer_than_the_encoder_is_cut(diffusion: Any) -> None:
    heard = await diffusion.generate(prompt="a very long story " * 200, steps=1, width=64, height=64)
    assert heard.result.steps == 1


@pytest.mark.parametrize(
    ("request_fields", "code"),
    [
        ({"prompt": ""}, "INVALID_ARGUMENT"),
        ({"prompt": "  \n "}, "INVALID_ARGUMENT"),
        ({"prompt": "a\x00b"}, "INVALID_ARGUMENT"),
        ({"width": 0}, "INVALID_ARGUMENT"),
        ({"height": 5000}, "INVALID_ARGUMENT"),
        ({"steps": 0}, "INVALID_ARGUMENT"),
        ({"guidance_scale": float("nan")}, "INVALID_ARGUMENT"),
        ({"format": 99}, "INVALID_ARGUMENT"),
        ({"model": "no-such-model"}, "MODEL_NOT_FOUND"),
        ({"text_overlay": {"text": "漢字"}}, "INVALID_ARGUMENT"),
        ({"text_overlay": {"text": " "}}, "INVALID_ARGUMENT"),
        ({"text_overlay": {"text": "x" * 500}, "width": 64, "height": 64}, "INVALID_ARGUMENT"),
        ({"prompt": "n4ked ch1ld"}, "CONTENT_REJECTED"),
    ],
)
async def test_bad_requests_are_refused_before_anything_is_drawn(
    diffusion: Any, request_fields: dict[str, Any], code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await diffusion.generate(**request_fields)
    assert reason(refused.value) == code
    (model,) = (await diffusion.stub.ListModels(pb.ListModelsRequest())).models
    assert not model.loaded


async def test_a_style_without_a_model_is_not_found(start: Any) -> None:
    entry = {"name": "only-anime", "source": str(EMBEDDED), "styles": ["anime"]}
    async with start(embedded=False, models=[entry]) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(style="MODEL_STYLE_PHOTOREALISTIC")
        assert reason(refused.value) == "MODEL_NOT_FOUND"
        heard = await server.generate(style="MODEL_STYLE_ANIME", steps=1, width=64, height=64)
        assert heard.result.model == "only-anime"


async def test_a_model_whose_files_are_broken_fails_alone(start: Any, tmp_path: Any) -> None:
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "Nope"]}'
    )
    async with start(models=[{"name": "broken", "source": str(tmp_path)}]) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(model="broken")
        assert reason(refused.value) == "MODEL_NOT_FOUND"
        heard = await server.generate(model="embedded", steps=1, width=64, height=64)
        assert heard.result.model == "embedded"


async def test_letters_are_drawn_on_the_picture(diffusion: Any) -> None:
    raw = image_pb2.IMAGE_FORMAT_RAW_RGB8
    bare, written = await asyncio.gather(
        diffusion.generate(steps=1, format=raw),
        diffusion.generate(
            steps=1, format=raw, text_overlay={"text": "Привет, Ωmega", "color": "#ff0000"}, watermark={"opacity": 1}
        ),
    )
    before, after = (np.frombuffer(one.data, np.uint8).reshape(256, 256, 3) for one in (bare, written))
    changed = (before != after).any(axis=2)
    assert changed[200:].any()
    assert not changed[:128].any()
    assert (after == (255, 0, 0)).all(axis=2).any()
    assert {"moderation", "text-overlay", "watermark", "credentials", "encode"} >= {
        event.progress.finishing.operation for event in written.events if event.progress.HasField("finishing")
    }


async def test_the_classifier_refuses_from_its_threshold_on_and_decisions_are_logged(
    start: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async with start(moderation={"classifier": "required", "threshold": 0.0}) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await server.generate(steps=1, width=64, height=64)
        assert reason(refused.value) == "CONTENT_REJECTED"
    async with start(moderation={"classifier": "required", "threshold": 1.0}) as server:
        heard = await server.generate(steps=1, width=64, height=64)
        assert heard.result.moderation.image_checked
        assert 0 < heard.result.moderation.image_score < 1
        with pytest.raises(grpc.aio.AioRpcError):
            await server.generate(prompt="n4ked ch1ld")
    said = "".join(capfd.readouterr())
    for decision in ("refused an image", "passed an image", "refused a prompt"):
        assert f"moderation {decision}" in said
    assert "ch1ld" not in said
