"""ProcessingService: messages in, one flow of the domain, messages out."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin.processing.v1 import verify_pb2
from imajin_servers.processing import answers, derivatives, lineage, marks, operations, verifying
from imajin_servers.processing.encode import Recipe
from imajin_servers.processing.focal.locate import given, locate
from imajin_servers.processing.focal.point import FaceFinder, Focus
from imajin_servers.processing.picture import Picture, decoded
from imajin_servers.processing.pipeline import Cropped, Made, Output, make
from imajin_servers.processing.placeholder import thumb_hash
from imajin_servers.processing.settings import Encoding, ProcessingSettings
from imajin_servers.processing.upload import Request, Spec, SpecT, receive
from imajin_servers.processing.work import Bench, Workshop
from imajin_servers.runtime import images
from imajin_servers.runtime.credentials.sealing import Provenance, Seal
from imajin_servers.runtime.errors import InvalidArgument

if TYPE_CHECKING:
    import grpc

    # grpc's classes are generic for type checkers only.
    Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class Opened(Generic[SpecT]):
    """A call whose image has arrived and is decoded."""

    spec: SpecT
    bench: Bench
    picture: Picture
    decode_ms: float


class ProcessingServicer(pb_grpc.ProcessingServiceServicer):
    """Serves ProcessingService."""

    def __init__(self, settings: ProcessingSettings, workshop: Workshop, finder: FaceFinder, seal: Seal) -> None:
        self.settings = settings
        self.workshop = workshop
        self.finder = finder
        self.seal = seal

    async def Process(
        self, request_iterator: AsyncIterator[pb.ProcessRequest], context: Context
    ) -> AsyncGenerator[pb.ProcessResponse, None]:
        """Applies operations."""

        def check(spec: pb.ProcessSpec) -> None:
            operations.check(process_request(spec), self.settings)

        async with self.opened(request_iterator, check) as call:
            request = process_request(call.spec)
            focus: Focus | None = None
            if request.needs_focus:
                point = call.spec.focal_point if call.spec.HasField("focal_point") else None
                focus = await self.focus(call, point)
            plan = operations.plan(request, call.picture, focus, self.settings)
            began = time.perf_counter()
            described: dict[int, image_pb2.EncodedImage] = {}
            async with aclosing(self.files(plan.outputs, call, described)) as events:
                async for event in events:
                    if isinstance(event, image_pb2.ImageChunk):
                        yield pb.ProcessResponse(chunk=event)
                    else:
                        yield pb.ProcessResponse(progress=event)
            main = described[plan.main.index]
            encode_ms = (time.perf_counter() - began) * 1000
            hashed = await call.bench.run(thumb_hash, call.picture.pixels)
            responsive = [described[output.index] for output in plan.derivatives]
            removed = call.picture.source.removed if "sanitize" in request.operations else ()
            result = pb.ProcessResult(
                image_index=main.image_index,
                format=main.format,
                width=main.width,
                height=main.height,
                size_bytes=main.size_bytes,
                quality=main.quality,
                score=main.score,
                file_name=main.file_name,
                credentials=main.credentials if main.HasField("credentials") else None,
                variants=[described[output.index] for output in plan.variants],
                derivatives=responsive,
                page=answers.snippet(responsive, call.spec.page, hashed),
                focal_point=answers.focal_point(focus) if focus else None,
                metadata=answers.metadata(call.picture, removed, call.decode_ms, encode_ms, hashed),
            )
            yield pb.ProcessResponse(result=result)

    async def CreateDerivatives(
        self, request_iterator: AsyncIterator[pb.CreateDerivativesRequest], context: Context
    ) -> AsyncGenerator[pb.CreateDerivativesResponse, None]:
        """Makes responsive variants."""
        async with self.opened(request_iterator, lambda spec: self.derivatives_of(spec)) as call:
            name, widths, formats = self.derivatives_of(call.spec)
            size = (call.picture.width, call.picture.height)
            planned = derivatives.plan(name, widths, formats, size, call.spec.target_quality)
            outputs = operations.derivative_outputs(planned, self.settings, 0)
            began = time.perf_counter()
            described: dict[int, image_pb2.EncodedImage] = {}
            async with aclosing(self.files(outputs, call, described)) as events:
                async for event in events:
                    if isinstance(event, image_pb2.ImageChunk):
                        yield pb.CreateDerivativesResponse(chunk=event)
                    else:
                        yield pb.CreateDerivativesResponse(progress=event)
            encode_ms = (time.perf_counter() - began) * 1000
            hashed = await call.bench.run(thumb_hash, call.picture.pixels)
            responsive = [described[output.index] for output in outputs]
            result = pb.DerivativesResult(
                derivatives=responsive,
                metadata=answers.metadata(call.picture, (), call.decode_ms, encode_ms, hashed),
                page=answers.snippet(responsive, call.spec.page, hashed),
            )
            yield pb.CreateDerivativesResponse(result=result)

    async def ClipFocal(
        self, request_iterator: AsyncIterator[pb.ClipFocalRequest], context: Context
    ) -> AsyncGenerator[pb.ClipFocalResponse, None]:
        """Crops around the focal point."""
        async with self.opened(request_iterator, check_clip) as call:
            spec = call.spec
            focus = await self.focus(call, spec.focal_point if spec.HasField("focal_point") else None)
            cut = operations.cut_around(
                focus, call.picture, (spec.width, spec.height), spec.max_upscale or self.settings.max_upscale
            )
            work = Cropped(cut, spec.width, spec.height, clip_recipe(spec), marks.of(spec))
            described: dict[int, image_pb2.EncodedImage] = {}
            async with aclosing(self.files([Output(0, "clip-focal", work)], call, described)) as events:
                async for event in events:
                    if isinstance(event, image_pb2.ImageChunk):
                        yield pb.ClipFocalResponse(chunk=event)
            crop = described[0]
            result = pb.ClipFocalResult(
                format=crop.format,
                width=crop.width,
                height=crop.height,
                size_bytes=crop.size_bytes,
                quality=crop.quality,
                score=crop.score,
                file_name=crop.file_name,
                focal_point=answers.focal_point(focus),
                crop=answers.box(cut.box),
                upscale=cut.upscale,
                credentials=crop.credentials if crop.HasField("credentials") else None,
            )
            yield pb.ClipFocalResponse(result=result)

    async def DetectFocalPoint(
        self, request_iterator: AsyncIterator[pb.DetectFocalPointRequest], context: Context
    ) -> pb.DetectFocalPointResponse:
        """Finds the focal point."""
        async with self.opened(request_iterator, lambda spec: None) as call:
            return pb.DetectFocalPointResponse(focal_point=answers.focal_point(await self.focus(call, None)))

    async def Verify(
        self, request_iterator: AsyncIterator[verify_pb2.VerifyRequest], context: Context
    ) -> verify_pb2.VerifyResponse:
        """Says what an image's credentials say."""
        async with self.opened(request_iterator, lambda spec: None) as call:
            return await call.bench.run(verifying.answer, call.picture, self.seal)

    async def ListFamilies(self, request: pb.ListFamiliesRequest, context: Context) -> pb.ListFamiliesResponse:
        """Lists the families of the settings."""
        families = {name: answers.family(family) for name, family in self.settings.families.items()}
        return pb.ListFamiliesResponse(families=families, default_family=self.settings.default_family)

    @asynccontextmanager
    async def opened(
        self, requests: AsyncIterator[Request[SpecT]], check: Callable[[SpecT], object]
    ) -> AsyncIterator[Opened[SpecT]]:
        """Receives, takes a place among the workers, checks, decodes."""
        with self.workshop.reserve() as reserve:
            upload = await receive(requests, check, self.settings.limits, reserve, self.settings.upload_seconds)
            async with self.workshop.call() as bench:
                spec, whole = upload.spec, upload.whole
                # The pieces that arrived are held by these alone; the call goes on with the file that they make.
                del upload
                source = await bench.run(whole)
                del whole
                bench.hold(source.decoded_bytes)
                began = time.perf_counter()
                picture = await bench.run(decoded, source)
                picture = replace(picture, lineage=await bench.run(self.lineage, picture, spec))
                yield Opened(spec, bench, picture, (time.perf_counter() - began) * 1000)

    def lineage(self, picture: Picture, spec: Spec) -> lineage.Lineage | None:
        """What is known of the making of `picture`; for a thread."""
        said = getattr(spec, "provenance", None)
        # Calls that make no files take none.
        return (
            lineage.of(picture.source, picture.pixels, Provenance.from_proto(said), self.seal)
            if said is not None
            else None
        )

    async def focus(self, call: Opened[Any], point: image_pb2.Point | None) -> Focus:
        """The focal point: given or found."""
        pixels = call.picture.pixels
        if point is not None:
            return await call.bench.run(given, pixels, self.finder, point.x, point.y)
        return await call.bench.run(locate, pixels, self.finder)

    async def files(
        self, outputs: list[Output], call: Opened[Any], described: dict[int, image_pb2.EncodedImage]
    ) -> AsyncGenerator[image_pb2.ImageChunk | progress_pb2.Progress, None]:
        """Every output as chunks, in the order in which they are ready, with progress between them.

        What is whole is added to `described`, by its index.
        """
        ticker = answers.Ticker(len(outputs))
        if (progress := ticker.now()) is not None:
            yield progress
        async with aclosing(make(outputs, call.picture, self.settings.encoders, call.bench)) as made_files:
            async for made in made_files:
                # In a thread, for the hash of a large file takes longer than an event loop should wait.
                for piece in await call.bench.run(cut_up, made):
                    yield piece
                described[made.output.index] = answers.encoded(made)
                ticker.done += 1
                if (progress := ticker.now()) is not None:
                    yield progress

    def derivatives_of(self, spec: pb.DerivativesSpec) -> derivatives.Chosen:
        """What a request for derivatives means."""
        formats: list[Encoding] = [answers.ENCODINGS[encoding] for encoding in spec.formats]
        return derivatives.chosen(
            spec.family, spec.widths, formats, self.settings.families, self.settings.default_family
        )


def cut_up(made: Made) -> list[image_pb2.ImageChunk]:
    """A file as chunks."""
    file = made.file
    return list(images.chunks(file.data, answers.FORMATS[file.format], file.width, file.height, made.output.index))


def process_request(spec: pb.ProcessSpec) -> operations.Request:
    """What a spec of Process means."""
    wanted: list[operations.Operation] = [answers.OPERATIONS[operation] for operation in spec.operations]
    size = (spec.size.width, spec.size.height) if spec.HasField("size") else None
    return operations.Request(wanted or operations.DEFAULT, spec.family, size, spec.target_quality)


def check_clip(spec: pb.ClipFocalSpec) -> None:
    """Raises InvalidArgument for what is wrong with a crop whatever the image is."""
    if 0 < spec.max_upscale < 1:
        raise InvalidArgument.field("max_upscale", "must be 0, or from 1 to 16")
    if spec.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
        raise InvalidArgument.field("format", "must be PNG, JPEG, WebP or AVIF")
    if spec.quality and spec.target_quality:
        raise InvalidArgument.field("target_quality", "give a quality or a target, not both")
    marks.check(spec)


def clip_recipe(spec: pb.ClipFocalSpec) -> Recipe:
    """How a crop is encoded."""
    return Recipe(answers.ENCODINGS.get(spec.format, "webp"), spec.quality, target=spec.target_quality)
