"""Every rpc of ProcessingService, through the stub of a real server."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from imajin.common.v1 import finishing_pb2, image_pb2, progress_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.runtime import images

Stub = pb_grpc.ProcessingServiceStub
WEBP, JPEG, PNG, RAW = (
    image_pb2.IMAGE_FORMAT_WEBP,
    image_pb2.IMAGE_FORMAT_JPEG,
    image_pb2.IMAGE_FORMAT_PNG,
    image_pb2.IMAGE_FORMAT_RAW_RGB8,
)


@dataclass
class Answer:
    """A whole stream of answers: progress, the bytes by image index, the result, and in which order they came."""

    progress: list[progress_pb2.Progress] = field(default_factory=list)
    files: dict[int, bytes] = field(default_factory=dict)
    infos: dict[int, image_pb2.ImageInfo] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    result: Any = None

    def image(self, index: int) -> Image.Image:
        assert hashlib.sha256(self.files[index]).digest() == self.infos[index].sha256
        return Image.open(io.BytesIO(self.files[index]))


async def collect(call: Any) -> Answer:
    answer = Answer()
    async for message in call:
        event = message.WhichOneof("event")
        answer.order.append(event)
        if event == "progress":
            answer.progress.append(message.progress)
        elif event == "chunk":
            chunk = message.chunk
            if chunk.HasField("info"):
                answer.infos[chunk.image_index] = chunk.info
            answer.files[chunk.image_index] = answer.files.get(chunk.image_index, b"") + chunk.data
        else:
            answer.result = message.result
    return answer


def sent(
    request: Any, spec: Any, data: bytes, format: image_pb2.ImageFormat = PNG, size: tuple[int, int] = (0, 0)
) -> Any:
    """A spec and the image in chunks after it."""

    async def requests() -> AsyncIterator[Any]:
        yield request(spec=spec)
        for chunk in images.chunks(data, format, *size):
            yield request(chunk=chunk)

    return requests()


def listed(*messages: Any) -> Any:
    async def requests() -> AsyncIterator[Any]:
        for message in messages:
            yield message

    return requests()


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


async def refused(call: Awaitable[Any]) -> tuple[str, dict[str, str], list[str]]:
    """Reason, metadata and the fields of the error that `call` ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = status_pb2.Status()
    status.ParseFromString(dict(raised.value.trailing_metadata() or ())["grpc-status-details-bin"])  # type: ignore[arg-type]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert info.domain == "imajin"
    for detail in status.details:
        detail.Unpack(bad)
    return info.reason, dict(info.metadata), [violation.field for violation in bad.field_violations]


@pytest.fixture(scope="module")
def photo(photographs: Any) -> Image.Image:
    return Image.open(photographs / "coffee.png").convert("RGB")  # 600 x 400


@pytest.fixture(scope="module")
def photo_png(photo: Image.Image) -> bytes:
    return file_of(photo, "PNG")


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


@pytest.mark.parametrize(
    ("request_type", "spec", "reason", "field_name"),
    [
        (pb.ProcessRequest, pb.ProcessSpec(operations=[pb.OPERATION_CLIP_FOCAL]), "INVALID_ARGUMENT", "size"),
        (pb.ProcessRequest, pb.ProcessSpec(family="nobody"), "NOT_FOUND", None),
        (pb.ProcessRequest, pb.ProcessSpec(operations=[9]), "INVALID_ARGUMENT", "spec.operations[0]"),  # type: ignore[list-item]
        (pb.CreateDerivativesRequest, pb.DerivativesSpec(family="nobody"), "NOT_FOUND", None),
        (pb.CreateDerivativesRequest, pb.DerivativesSpec(family="hero", widths=[64]), "INVALID_ARGUMENT", "widths"),
        (pb.CreateDerivativesRequest, pb.DerivativesSpec(widths=[0]), "INVALID_ARGUMENT", "spec.widths[0]"),
        (pb.ClipFocalRequest, pb.ClipFocalSpec(width=0, height=5), "INVALID_ARGUMENT", "spec.width"),
        (pb.ClipFocalRequest, pb.ClipFocalSpec(width=5, height=99_999), "INVALID_ARGUMENT", "spec.height"),
        (pb.ClipFocalRequest, pb.ClipFocalSpec(width=5, height=5, max_upscale=0.5), "INVALID_ARGUMENT", "max_upscale"),
        (pb.ClipFocalRequest, pb.ClipFocalSpec(width=5, height=5, format=RAW), "INVALID_ARGUMENT", "format"),
        (
            pb.ClipFocalRequest,
            pb.ClipFocalSpec(width=5, height=5, format=image_pb2.IMAGE_FORMAT_GIF),
            "INVALID_ARGUMENT",
            "spec.format",
        ),
        (
            pb.ClipFocalRequest,
            pb.ClipFocalSpec(width=5, height=5, max_upscale=float("nan")),
            "INVALID_ARGUMENT",
            "spec.max_upscale",
        ),
        (
            pb.ClipFocalRequest,
            pb.ClipFocalSpec(width=5, height=5, focal_point=image_pb2.Point(x=float("nan"))),
            "INVALID_ARGUMENT",
            "spec.focal_point.x",
        ),
    ],
)
async def test_a_bad_spec_is_refused(
    request_type: Any, spec: Any, reason: str, field_name: str | None, stub: Stub, photo_png: bytes
) -> None:
    method = {
        pb.ProcessRequest: stub.Process,
        pb.CreateDerivativesRequest: stub.CreateDerivatives,
        pb.ClipFocalRequest: stub.ClipFocal,
    }[request_type]
    told, _, fields = await refused(collect(method(sent(request_type, spec, photo_png))))
    assert told == reason
    if field_name:
        assert fields == [field_name]


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


def chunk(data: bytes, **more: Any) -> pb.ProcessRequest:
    return pb.ProcessRequest(chunk=image_pb2.ImageChunk(data=data, **more))


@pytest.mark.parametrize(
    ("messages", "reason", "field_name"),
    [
        ([], "INVALID_ARGUMENT", "spec"),
        ([pb.ProcessRequest()], "INVALID_ARGUMENT", "part"),
        ([chunk(b"x", last=True)], "INVALID_ARGUMENT", "spec"),
        ([pb.ProcessRequest(spec=pb.ProcessSpec())], "INVALID_ARGUMENT", "image"),
        (
            [pb.ProcessRequest(spec=pb.ProcessSpec(image_data=b"x")), chunk(b"y", last=True)],
            "INVALID_ARGUMENT",
            "image",
        ),
        ([pb.ProcessRequest(spec=pb.ProcessSpec())] * 2, "INVALID_ARGUMENT", "spec"),
        ([pb.ProcessRequest(spec=pb.ProcessSpec()), chunk(b"", last=True)], "IMAGE_INVALID", None),
        ([pb.ProcessRequest(spec=pb.ProcessSpec()), chunk(b"x")], "IMAGE_INVALID", None),
        ([pb.ProcessRequest(spec=pb.ProcessSpec()), chunk(b"x", offset=7, last=True)], "IMAGE_INVALID", None),
        ([pb.ProcessRequest(spec=pb.ProcessSpec(image_data=b"no image"))], "IMAGE_INVALID", None),
        ([pb.ProcessRequest(spec=pb.ProcessSpec(image_data=b"GIF89a" + bytes(99)))], "IMAGE_INVALID", None),
    ],
)
async def test_a_bad_upload_is_refused(
    messages: Sequence[pb.ProcessRequest], reason: str, field_name: str | None, stub: Stub
) -> None:
    told, _, fields = await refused(collect(stub.Process(listed(*messages))))
    assert told == reason
    if field_name:
        assert fields == [field_name]


async def test_an_upload_above_the_limit_is_refused_while_it_arrives(stub: Stub) -> None:
    async def large() -> AsyncIterator[pb.ProcessRequest]:
        yield pb.ProcessRequest(spec=pb.ProcessSpec())
        for offset in range(0, 40_000_000, 500_000):
            yield chunk(bytes(500_000), offset=offset)

    reason, metadata, _ = await refused(collect(stub.Process(large())))
    assert (reason, metadata["what"], metadata["actual"]) == ("IMAGE_TOO_LARGE", "bytes", "20500000")


async def test_an_upload_without_end_ends_in_an_error(stub: Stub) -> None:
    sent_chunks = 0

    async def endless() -> AsyncIterator[pb.ProcessRequest]:
        nonlocal sent_chunks
        yield pb.ProcessRequest(spec=pb.ProcessSpec())
        for offset in range(0, 1 << 31, 500_000):
            sent_chunks += 1
            yield chunk(bytes(500_000), offset=offset)

    with pytest.raises(grpc.aio.AioRpcError):
        await collect(stub.Process(endless()))
    assert sent_chunks < 400


async def test_a_header_that_says_100000_by_100000_is_refused(stub: Stub, photo_png: bytes) -> None:
    import struct
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = photo_png[:12] + head + struct.pack(">I", zlib.crc32(head)) + photo_png[33:]
    reason, metadata, _ = await refused(
        stub.DetectFocalPoint(sent(pb.DetectFocalPointRequest, pb.DetectFocalPointSpec(), bomb))
    )
    assert (reason, metadata["what"], metadata["actual"]) == ("IMAGE_TOO_LARGE", "pixels", "10000000000")


async def test_an_upload_that_never_ends_is_cut_off(serve: Callable[[ProcessingSettings], Any]) -> None:
    async with serve(ProcessingSettings(workers=1, upload_seconds=0.05, focal={"faces": False})) as stub:
        forever = asyncio.Event()

        async def stuck() -> AsyncIterator[pb.ProcessRequest]:
            yield pb.ProcessRequest(spec=pb.ProcessSpec())
            await forever.wait()

        reason, _, _ = await refused(collect(stub.Process(stuck())))
        assert reason == "DEADLINE"


async def test_more_calls_than_the_workshop_holds_are_refused_with_a_time_to_come_back(
    serve: Callable[[ProcessingSettings], Any], photo: Image.Image
) -> None:
    async with serve(ProcessingSettings(workers=1, max_calls=1, focal={"faces": False})) as stub:
        data = file_of(photo.resize((1200, 800)), "JPEG")
        calls = [collect(stub.Process(sent(pb.ProcessRequest, pb.ProcessSpec(), data))) for _ in range(8)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
        assert 0 < len(errors) < 8
        assert {error.code() for error in errors} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all(b"QUEUE_FULL" in dict(error.trailing_metadata())["grpc-status-details-bin"] for error in errors)
        again = await collect(stub.Process(sent(pb.ProcessRequest, pb.ProcessSpec(), data)))
        assert again.result.width == 1200


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
