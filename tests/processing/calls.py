"""How the tests call the processing server: uploads, whole answers, errors."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from PIL import Image

from imajin.common.v1 import image_pb2, progress_pb2
from imajin_servers.runtime import images

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
