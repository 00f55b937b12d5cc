"""Every rpc of ProcessingService, through the stub of a real server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from imajin.common.v1 import finishing_pb2, image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin_servers.processing.settings import ProcessingSettings

from .calls import JPEG, PNG, RAW, WEBP, collect, refused, sent
from .conftest import Stub, file_of


async def test_process_without_operations_optimizes_converts_and_makes_derivatives(
    stub: Stub, photo_png: bytes, photo: Image.Image
) -> None:
    answer = await collect(stub.Process(sent(pb.ProcessRequest, pb.ProcessSpec(), photo_png)))
    result = answer.result
    assert answer.order[0] == "progress"
    assert answer.order[-1] == "result"
    assert (result.format, result.width, result.height) == (WEBP, 600, 400)
    assert result.size_bytes == len(answer.files[result.image_index])
    assert [variant.name for variant in result.variants] == ["optimize"]
    assert [item.name for item in result.derivatives] == ["content-320.webp"]
    assert result.quality == 90
    assert result.variants[0].size_bytes < result.size_bytes
    assert result.metadata.format == PNG
    assert result.metadata.size_bytes == len(photo_png)
    assert result.metadata.decode_ms > 0
    for described in [*result.variants, *result.derivatives]:
        image = answer.image(described.image_index)
        assert image.format == "WEBP"
        assert image.size == (described.width, described.height)
        assert described.quality == 82
        assert len(answer.files[described.image_index]) == described.size_bytes
        assert not described.image_data
    difference = np.abs(np.asarray(answer.image(0), np.int16) - np.asarray(photo, np.int16)).mean()
    assert difference < 5
    fractions = [item.fraction for item in answer.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


async def test_process_hands_out_each_operations_output_and_the_last_is_the_main_image(
    stub: Stub, photo: Image.Image
) -> None:
    spec = pb.ProcessSpec(
        operations=[pb.OPERATION_CLIP_FOCAL, pb.OPERATION_SANITIZE, pb.OPERATION_DETECT_FOCAL_POINT],
        size=image_pb2.Size(width=100, height=200),
        focal_point=image_pb2.Point(x=0.5, y=0.5),
    )
    data = file_of(photo, "JPEG", quality=80, comment=b"secret")
    answer = await collect(stub.Process(sent(pb.ProcessRequest, spec, data)))
    result = answer.result
    assert [variant.name for variant in result.variants] == ["clip-focal"]
    assert answer.image(result.variants[0].image_index).size == (100, 200)
    assert result.format == JPEG
    assert b"secret" not in answer.files[result.image_index]
    assert np.array_equal(np.asarray(answer.image(result.image_index)), np.asarray(Image.open(io.BytesIO(data))))
    assert list(result.metadata.removed) == ["comment"]
    assert result.focal_point.method == image_pb2.FOCAL_METHOD_GIVEN


@pytest.mark.parametrize("operation", [pb.OPERATION_DERIVATIVES, pb.OPERATION_DETECT_FOCAL_POINT])
async def test_process_without_an_operation_that_makes_an_image_answers_with_the_converted_one(
    operation: pb.Operation, stub: Stub, photo_png: bytes
) -> None:
    spec = pb.ProcessSpec(operations=[operation])
    answer = await collect(stub.Process(sent(pb.ProcessRequest, spec, photo_png)))
    assert answer.result.format == WEBP
    assert answer.image(answer.result.image_index).size == (600, 400)
    assert bool(answer.result.derivatives) == (operation == pb.OPERATION_DERIVATIVES)


async def test_bare_pixels_are_taken_and_sanitized_to_png(stub: Stub, photo: Image.Image) -> None:
    spec = pb.ProcessSpec(operations=[pb.OPERATION_SANITIZE])
    answer = await collect(stub.Process(sent(pb.ProcessRequest, spec, photo.tobytes(), RAW, photo.size)))
    assert answer.result.format == PNG
    assert answer.result.metadata.format == RAW
    assert np.array_equal(np.asarray(answer.image(0)), np.asarray(photo))


async def test_derivatives_come_by_width_then_encoding_and_none_is_larger_than_the_source(
    stub: Stub, photo_png: bytes
) -> None:
    spec = pb.DerivativesSpec(widths=[4000, 300, 600, 64], formats=[JPEG, WEBP, image_pb2.IMAGE_FORMAT_AVIF, PNG])
    answer = await collect(stub.CreateDerivatives(sent(pb.CreateDerivativesRequest, spec, photo_png)))
    names = [item.name for item in answer.result.derivatives]
    assert names == [f"image-{width}.{end}" for width in (64, 300, 600) for end in ("jpg", "webp", "avif", "png")]
    for item in answer.result.derivatives:
        image = answer.image(item.image_index)
        assert image.size == (item.width, item.height) == (item.width, round(item.width / 1.5))
        assert not image.getexif()
        assert "icc_profile" not in image.info
    assert answer.result.metadata.width == 600


async def test_a_family_gives_widths_and_encodings_and_its_name(stub: Stub, photo_png: bytes) -> None:
    spec = pb.DerivativesSpec(family="avatar")
    answer = await collect(stub.CreateDerivatives(sent(pb.CreateDerivativesRequest, spec, photo_png)))
    assert [item.name for item in answer.result.derivatives] == [f"avatar-{width}.webp" for width in (48, 96, 192, 384)]


async def test_a_source_smaller_than_every_width_is_kept_at_its_own(stub: Stub, photo: Image.Image) -> None:
    spec = pb.DerivativesSpec(family="hero", formats=[WEBP])
    small = file_of(photo.resize((90, 60)), "PNG")
    answer = await collect(stub.CreateDerivatives(sent(pb.CreateDerivativesRequest, spec, small)))
    assert [(item.name, item.height) for item in answer.result.derivatives] == [("hero-90.webp", 60)]


async def test_families_are_listed(stub: Stub) -> None:
    answer = await stub.ListFamilies(pb.ListFamiliesRequest())
    assert set(answer.families) >= {"hero", "card", "avatar", "og"}
    assert answer.default_family in answer.families
    assert list(answer.families["card"].widths) == [320, 480, 640, 960]


async def test_a_crop_has_the_size_says_what_was_cut_and_how_far_it_was_enlarged(stub: Stub, photo_png: bytes) -> None:
    spec = pb.ClipFocalSpec(width=800, height=800, focal_point=image_pb2.Point(x=1, y=0.5), format=JPEG, quality=70)
    answer = await collect(stub.ClipFocal(sent(pb.ClipFocalRequest, spec, photo_png)))
    result = answer.result
    assert answer.image(0).size == (800, 800)
    assert answer.image(0).format == "JPEG"
    assert result.crop == image_pb2.Box(left=200, top=0, width=400, height=400)
    assert result.upscale == pytest.approx(2)
    assert result.size_bytes == len(answer.files[0])
    assert answer.order[-1] == "result"


async def test_a_crop_that_needs_more_than_the_limit_is_refused(stub: Stub, photo_png: bytes) -> None:
    spec = pb.ClipFocalSpec(width=800, height=801, max_upscale=2)
    reason, _, fields = await refused(collect(stub.ClipFocal(sent(pb.ClipFocalRequest, spec, photo_png))))
    assert (reason, fields) == ("INVALID_ARGUMENT", ["max_upscale"])


async def test_text_and_mark_are_drawn_over_a_crop(stub: Stub, photo_png: bytes) -> None:
    plain = pb.ClipFocalSpec(width=300, height=300, format=PNG)
    marked = pb.ClipFocalSpec(
        width=300,
        height=300,
        format=PNG,
        text_overlay=finishing_pb2.TextOverlay(text="Coffee", position=finishing_pb2.ANCHOR_TOP, size=0.2),
        watermark=finishing_pb2.Watermark(text="imajin"),
    )
    first = await collect(stub.ClipFocal(sent(pb.ClipFocalRequest, plain, photo_png)))
    second = await collect(stub.ClipFocal(sent(pb.ClipFocalRequest, marked, photo_png)))
    changed = np.any(np.asarray(first.image(0)) != np.asarray(second.image(0)), axis=2)
    assert changed[:100].mean() > 0.02
    assert changed[200:, 150:].mean() > 0.002
    assert not changed[110:190].any()


async def test_an_animated_gif_is_taken_by_its_first_frame_and_comes_out_as_a_png(
    stub: Stub, photo: Image.Image
) -> None:
    frames = [photo.resize((90, 60)), Image.new("RGB", (90, 60), "red"), Image.new("RGB", (90, 60), "blue")]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40, comment=b"secret")
    spec = pb.ProcessSpec(operations=[pb.OPERATION_SANITIZE])
    answer = await collect(stub.Process(sent(pb.ProcessRequest, spec, data)))
    source = answer.result.metadata
    assert (source.format, source.frames, list(source.removed)) == (
        image_pb2.IMAGE_FORMAT_GIF,
        3,
        ["animation", "comment"],
    )
    assert answer.result.format == PNG
    assert np.array_equal(answer.image(0).convert("RGB"), Image.open(io.BytesIO(data)).convert("RGB"))


async def test_a_call_that_is_dropped_frees_its_place(
    serve: Callable[[ProcessingSettings], Any], photo: Image.Image
) -> None:
    async with serve(ProcessingSettings(workers=1, max_calls=1, focal={"faces": False})) as stub:
        data = file_of(photo.resize((1200, 800)), "JPEG")
        for _ in range(3):
            call = stub.Process(sent(pb.ProcessRequest, pb.ProcessSpec(), data))
            assert (await call.read()).HasField("progress")
            call.cancel()
            # The place is free when the encode that was running has ended: until then QUEUE_FULL is the right answer.
            codes = []
            while not codes or codes[-1] is grpc.StatusCode.RESOURCE_EXHAUSTED:
                again = stub.DetectFocalPoint(sent(pb.DetectFocalPointRequest, pb.DetectFocalPointSpec(), data))
                codes.append(await again.code())
            assert codes[-1] is grpc.StatusCode.OK


async def test_calls_at_the_same_time_do_not_mix(stub: Stub, photo: Image.Image) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]

    async def one(colour: tuple[int, int, int]) -> None:
        data = file_of(Image.new("RGB", (400, 300), colour), "PNG")
        spec = pb.DerivativesSpec(widths=[50, 100, 200, 400], formats=[WEBP, JPEG])
        answer = await collect(stub.CreateDerivatives(sent(pb.CreateDerivativesRequest, spec, data)))
        for item in answer.result.derivatives:
            pixels = np.asarray(answer.image(item.image_index).convert("RGB"), np.int16)
            assert np.abs(pixels - np.array(colour)).max() < 12

    await asyncio.gather(*(one(colour) for colour in colours * 2))
