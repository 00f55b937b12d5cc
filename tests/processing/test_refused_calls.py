"""Calls that the processing server refuses: bad specs, bad uploads, too much, too slow, too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import pytest
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin_servers.processing.settings import ProcessingSettings

from .calls import RAW, collect, listed, refused, sent
from .conftest import Stub, file_of


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
