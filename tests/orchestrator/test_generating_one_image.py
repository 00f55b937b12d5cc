"""One image, as a caller sees it: what is asked of the other servers, what is told, what comes back."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import grpc
import pytest
from PIL import Image

from imajin.common.v1 import finishing_pb2, image_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.processing.v1 import processing_pb2
from imajin_servers.runtime.errors import ContentRejected, GpuOutOfMemory
from imajin_servers.runtime.images import Assembly

PNG, JPEG, WEBP, AVIF = (
    image_pb2.IMAGE_FORMAT_PNG,
    image_pb2.IMAGE_FORMAT_JPEG,
    image_pb2.IMAGE_FORMAT_WEBP,
    image_pb2.IMAGE_FORMAT_AVIF,
)


async def generated(house: Any, **fields: Any) -> tuple[list[Any], dict[int, Image.Image], Any]:
    """The events before the images, the images by index, and the result."""
    told, assemblies, result = [], {}, None
    request = orchestrator_pb2.GenerateRequest(prompt="a happy panda", **fields)
    async for response in house.orchestrator.Generate(request):
        assert result is None, "nothing comes after the result"
        match response.WhichOneof("event"):
            case "chunk":
                assemblies.setdefault(response.chunk.image_index, Assembly(2**26)).add(response.chunk)
            case "result":
                result = response.result
            case _:
                told.append(response)
    images = {index: Image.open(io.BytesIO(entry.result().data)) for index, entry in assemblies.items()}
    return told, images, result


async def test_an_image_is_processed_by_default(house: Any) -> None:
    told, images, result = await generated(house, seed=0, family="card")
    assert (result.format, result.width, result.height, result.seed, result.model) == (WEBP, 192, 128, 0, "embedded")
    assert (images[0].format, images[0].size) == ("WEBP", (192, 128))
    (derivative,) = result.derivatives
    assert (derivative.name, derivative.image_index) == ("card-64.webp", 1)
    assert images[1].size == (derivative.width, derivative.height) == (64, 64)
    assert not result.image_data
    assert result.generating_ms > 0
    assert result.processing_ms > 0
    (spec,) = house.processing.specs
    assert list(spec.operations) == [
        processing_pb2.OPERATION_CONVERT_WEBP,
        processing_pb2.OPERATION_DERIVATIVES,
    ], "optimize would be encoded for nothing"
    fractions = [response.progress.fraction for response in told]
    assert fractions == sorted(fractions)
    assert [response.progress.WhichOneof("phase") for response in told] == ["denoising"] * 4 + ["processing"]


async def test_the_denoiser_hears_how_long_somebody_waits(house: Any) -> None:
    call = house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a happy panda"), timeout=60)
    assert [response async for response in call]
    await generated(house)
    within, forever = house.diffusion.waited_for
    # gRPC rounds deadlines up.
    assert 50 < within < 70
    assert forever is None


@pytest.mark.parametrize(("format", "name"), [(PNG, "PNG"), (JPEG, "JPEG"), (AVIF, "AVIF")])
async def test_another_format_is_encoded_once_from_the_pixels(house: Any, format: Any, name: str) -> None:
    _, images, result = await generated(house, format=format)
    assert house.diffusion.requests[0].format == image_pb2.IMAGE_FORMAT_RAW_RGB8
    assert (result.format, images[0].format, images[0].size) == (format, name, (192, 128))
    assert [derivative.image_index for derivative in result.derivatives] == [1]
    assert images[1].format == "WEBP"


@pytest.mark.parametrize("format", [image_pb2.IMAGE_FORMAT_UNSPECIFIED, JPEG])
async def test_skip_processing_gives_what_was_drawn(house: Any, format: Any) -> None:
    _, images, result = await generated(house, skip_processing=True, format=format)
    assert house.diffusion.requests[0].format == format
    assert house.processing.specs == []
    assert images.keys() == {0}
    assert images[0].format == ("JPEG" if format else "PNG")
    assert result.format == (format or PNG)
    assert (list(result.derivatives), result.processing_ms) == ([], 0)


async def test_every_field_reaches_the_diffusion_server(house: Any) -> None:
    fields: dict[str, Any] = {
        "negative_prompt": "blurry", "model": "drawn", "style": model_pb2.MODEL_STYLE_ANIME, "width": 72, "height": 64,
        "steps": 3, "guidance_scale": 0, "seed": 2**32 - 1, "text_overlay": finishing_pb2.TextOverlay(text="hello"),
        "watermark": finishing_pb2.Watermark(text="mine"), "preview_interval": 2, "priority": 0,
    }  # fmt: skip
    told, _, _ = await generated(house, **fields)
    expected = diffusion_pb2.GenerateRequest(prompt="a happy panda", format=image_pb2.IMAGE_FORMAT_RAW_RGB8, **fields)
    assert house.diffusion.requests == [expected]
    assert [response.preview.step for response in told if response.HasField("preview")] == [2]


def test_the_contract_numbers_the_shared_fields_alike() -> None:
    for field in diffusion_pb2.GenerateRequest.DESCRIPTOR.fields:
        twin = orchestrator_pb2.GenerateRequest.DESCRIPTOR.fields_by_number[field.number]
        assert (twin.name, twin.type) == (field.name, field.type)


async def test_the_request_id_goes_with_the_work(house: Any) -> None:
    request = orchestrator_pb2.GenerateRequest(prompt="a cat", skip_processing=True)
    async for _ in house.orchestrator.Generate(request, metadata=(("x-request-id", "from-the-shim"),)):
        pass
    assert house.diffusion.metadata[0]["x-request-id"] == "from-the-shim"


@pytest.mark.parametrize(
    "error", [GpuOutOfMemory.of(8 * 2**30, 4 * 2**30), ContentRejected("no", metadata={"stage": "prompt"})]
)
async def test_errors_of_the_others_come_through_whole(house: Any, refused: Any, error: Any) -> None:
    house.diffusion.error = error
    answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert (type(answer), answer.message, answer.metadata) == (type(error), error.message, error.metadata)


async def test_a_dropped_call_cancels_the_drawing(house: Any) -> None:
    async def wait(number: int) -> None:
        if number == 3:
            await asyncio.Event().wait()

    house.diffusion.step = wait
    call = house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat"))
    async for response in call:
        if response.progress.denoising.step == 2:
            break
    call.cancel()
    await house.diffusion.cancelled.wait()
    assert house.diffusion.steps_made == 2


async def test_a_deadline_cancels_the_processing(house: Any, refused: Any) -> None:
    ended = asyncio.Event()

    async def wait(rpc: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    house.processing.before = wait
    call = house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat"), timeout=1)
    assert (await refused(call)).reason == "DEADLINE"
    await ended.wait()


@pytest.mark.parametrize("peer", ["diffusion", "processing"])
async def test_a_server_that_is_away_is_named(house: Any, refused: Any, peer: str) -> None:
    await house.stop_peer(peer)
    answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert (answer.reason, answer.metadata) == ("SERVER_UNAVAILABLE", {"server": peer})


async def test_bad_requests_reach_nobody(house: Any, refused: Any) -> None:
    for fields in (
        {"prompt": ""},
        {"prompt": "a cat", "width": 0},
        {"prompt": "a\x00cat"},
        {"prompt": "a cat", "format": image_pb2.IMAGE_FORMAT_RAW_RGB8},
        {"prompt": "a cat", "text_overlay": finishing_pb2.TextOverlay(text="\x1b[31m")},
    ):
        answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(**fields)))
        assert answer.reason == "INVALID_ARGUMENT"
        assert answer.violations
    assert house.diffusion.requests == []


async def test_large_images_are_held_within_the_limit(stopped_house: Any, refused: Any) -> None:
    async with stopped_house.running(max_image_bytes=1024):
        answer = await refused(stopped_house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert answer.reason == "IMAGE_TOO_LARGE"


async def test_a_call_that_never_was_is_no_trouble(house: Any) -> None:
    call = house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await call.code() is grpc.StatusCode.CANCELLED
    _, images, _ = await generated(house)
    assert images
