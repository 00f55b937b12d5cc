"""The processing server as the flows see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.processing.v1 import processing_pb2, processing_pb2_grpc
from imajin_servers.orchestrator.clock import Clock
from imajin_servers.orchestrator.peers import calls
from imajin_servers.runtime.errors import Internal, NotFound
from imajin_servers.runtime.images import Assembly, Image, chunks

SERVER = "processing"
MessageT = TypeVar("MessageT", bound=Message)
Upload = Sequence[image_pb2.ImageChunk]
"""An image cut for the wire once, to be sent as often as needed."""


@dataclass
class Outputs:
    """Images that come back interleaved, by their index."""

    limit: int
    assemblies: dict[int, Assembly] = field(default_factory=dict)

    def add(self, chunk: image_pb2.ImageChunk) -> None:
        """Takes the next chunk."""
        self.assemblies.setdefault(chunk.image_index, Assembly(self.limit)).add(chunk)

    def image(self, index: int) -> Image:
        """The whole image."""
        if index not in self.assemblies:
            raise Internal("the processing server described an image that it did not send")
        return self.assemblies[index].result()


async def upload(image: Image) -> Upload:
    """`image` cut for the wire, in a thread: hashing megabytes would hold the event loop up."""
    info = image.info
    return await asyncio.to_thread(lambda: list(chunks(image.data, info.format, info.width, info.height)))


async def messages(kind: type[MessageT], spec: Message, source: Upload) -> AsyncGenerator[MessageT, None]:
    """The messages of a call, each a `kind`: the spec, then the image in chunks."""
    yield kind(spec=spec)
    for chunk in source:
        yield kind(chunk=chunk)


class Processing:
    """Calls to the processing server."""

    def __init__(self, channel: grpc.aio.Channel, max_image_bytes: int, patience: Clock | None = None) -> None:
        self.channel = channel
        self.stub: processing_pb2_grpc.ProcessingServiceAsyncStub = processing_pb2_grpc.ProcessingServiceStub(channel)
        self.max_image_bytes = max_image_bytes
        self.patience = patience

    async def wait(self, seconds: float) -> None:
        """Waits until the server can be reached. Raises ServerUnavailable."""
        await calls.wait_for_server(SERVER, self.channel, seconds)

    async def process(
        self, spec: processing_pb2.ProcessSpec, source: Upload
    ) -> AsyncGenerator[progress_pb2.Progress | tuple[processing_pb2.ProcessResult, Outputs], None]:
        """Progress as it comes, and last what was made."""
        async with aclosing(self.outputs(self.stub.Process, processing_pb2.ProcessRequest, spec, source)) as events:
            async for event in events:
                yield event

    async def derivatives(
        self, spec: processing_pb2.DerivativesSpec, source: Upload
    ) -> AsyncGenerator[progress_pb2.Progress | tuple[processing_pb2.DerivativesResult, Outputs], None]:
        """Progress as it comes, and last what was made."""
        async with aclosing(
            self.outputs(self.stub.CreateDerivatives, processing_pb2.CreateDerivativesRequest, spec, source)
        ) as events:
            async for event in events:
                yield event

    async def clip_focal(
        self, spec: processing_pb2.ClipFocalSpec, source: Upload
    ) -> tuple[processing_pb2.ClipFocalResult, Image]:
        """Cuts one size."""
        async with aclosing(self.outputs(self.stub.ClipFocal, processing_pb2.ClipFocalRequest, spec, source)) as events:
            async for result, outputs in events:
                return result, outputs.image(result.image_index)
        raise Internal("the processing server ended without a result")

    async def focal_point(self, source: Upload) -> image_pb2.FocalPoint:
        """Where the subject is."""
        answer = await calls.single(
            SERVER,
            lambda: self.stub.DetectFocalPoint(
                messages(processing_pb2.DetectFocalPointRequest, processing_pb2.DetectFocalPointSpec(), source),
                metadata=calls.ids(),
            ),
            self.patience,
        )
        return answer.focal_point

    async def check_family(self, name: str) -> None:
        """Raises NotFound for a family that the server does not know; an empty name is its default."""
        if not name:
            return
        call = partial(self.stub.ListFamilies, processing_pb2.ListFamiliesRequest(), metadata=calls.ids())
        known = sorted((await calls.single(SERVER, call)).families)
        if name not in known:
            text = ", ".join(known)
            raise NotFound(f"no family {name!r}; there are: {text}", metadata={"name": name, "known": text})

    async def outputs(
        self, method: Callable[..., grpc.aio.Call], kind: type[Message], spec: Message, source: Upload
    ) -> AsyncGenerator[Any, None]:
        """Progress of a call as it comes, and last its result with the images that came before it."""
        outputs = Outputs(self.max_image_bytes)
        result: Any = None

        def start() -> grpc.aio.Call:
            return method(messages(kind, spec, source), metadata=calls.ids())

        async with aclosing(calls.stream(SERVER, start, self.patience)) as answers:
            async for answer in answers:
                match answer.WhichOneof("event"):
                    case "chunk":
                        outputs.add(answer.chunk)
                    case "progress":
                        yield answer.progress
                    case "result":
                        result = answer.result
        if result is None:
            raise Internal("the processing server ended without a result")
        yield result, outputs
