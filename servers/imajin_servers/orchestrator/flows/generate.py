"""One image: drawn, then processed unless the request says not to. docs/decisions/jobs.md says what is encoded where."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from imajin.common.v1 import credentials_pb2, image_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.processing.v1 import processing_pb2
from imajin_servers.orchestrator.flows.course import Course
from imajin_servers.orchestrator.peers.diffusion import Diffusion, Drawn
from imajin_servers.orchestrator.peers.processing import Outputs, Processing, Upload, upload
from imajin_servers.runtime.errors import InvalidArgument
from imajin_servers.runtime.images import Image

DRAWING_SHARE = 0.9
"""Part of the whole that drawing is, where processing follows."""
WEBP = (image_pb2.IMAGE_FORMAT_UNSPECIFIED, image_pb2.IMAGE_FORMAT_WEBP)


@dataclass(frozen=True)
class Made:
    """What a generation made: the result, and its images by image_index."""

    result: orchestrator_pb2.GenerateResult
    images: list[Image]


@dataclass(frozen=True)
class Processed:
    """The main image and its credentials, and derivatives as they are described and as bytes."""

    main: Image
    credentials: credentials_pb2.Credentials
    derivatives: list[tuple[image_pb2.EncodedImage, Image]]


def check(request: orchestrator_pb2.GenerateRequest) -> None:
    """Raises InvalidArgument for a format that processing can't give."""
    if request.format == image_pb2.IMAGE_FORMAT_RAW_RGB8 and not request.skip_processing:
        raise InvalidArgument.field("format", "bare pixels are only given with skip_processing")


async def generate(
    request: orchestrator_pb2.GenerateRequest,
    diffusion: Diffusion,
    processing: Processing,
    time_left: float | None = None,
) -> AsyncGenerator[progress_pb2.Progress | image_pb2.Preview | Made, None]:
    """Progress and previews as they come, and last what was made. Closing this generator cancels what is going on.

    `time_left` is for how many seconds somebody waits: the denoiser goes by it.
    """
    course = Course()
    share = 1.0 if request.skip_processing else DRAWING_SHARE
    drawn: Drawn | None = None
    began = time.perf_counter()
    async with aclosing(diffusion.generate(drawing_request(request), time_left)) as events:
        async for event in events:
            if isinstance(event, progress_pb2.Progress):
                yield course.part(event, 0.0, share)
            elif isinstance(event, Drawn):
                drawn = event
            else:
                yield event
    assert drawn, "a drawing ends with what was drawn, or raises"
    made = Made(described(drawn), [drawn.image])
    made.result.generating_ms = (time.perf_counter() - began) * 1000
    if request.skip_processing:
        yield made
        return
    began = time.perf_counter()
    source = await upload(drawn.image)
    if request.format in WEBP:
        steps = as_webp(processing, source, drawn.result.provenance, request.family)
    else:
        steps = as_format(processing, source, drawn.result, request.format, request.family)
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, progress_pb2.Progress):
                yield course.part(step, share, 1.0)
            else:
                add(made, step)
    made.result.processing_ms = (time.perf_counter() - began) * 1000
    yield made


def drawing_request(request: orchestrator_pb2.GenerateRequest) -> diffusion_pb2.GenerateRequest:
    """The part of `request` that the diffusion server does: the contract numbers these fields alike."""
    drawing = diffusion_pb2.GenerateRequest.FromString(request.SerializeToString())
    drawing.DiscardUnknownFields()
    if not request.skip_processing:
        # Encoded once, at the end: what goes from server to server is pixels.
        drawing.format = image_pb2.IMAGE_FORMAT_RAW_RGB8
    return drawing


def described(drawn: Drawn) -> orchestrator_pb2.GenerateResult:
    """The result of a drawing that nothing was done to yet."""
    result = drawn.result
    return orchestrator_pb2.GenerateResult(
        format=result.format,
        width=result.width,
        height=result.height,
        seed=result.seed,
        model=result.model,
        steps=result.steps,
        guidance_scale=result.guidance_scale,
        moderation=result.moderation,
        credentials=result.credentials,
    )


def add(made: Made, processed: Processed) -> None:
    """Puts the processed images in place of the drawn one."""
    info = processed.main.info
    made.result.format, made.result.width, made.result.height = info.format, info.width, info.height
    made.result.credentials.CopyFrom(processed.credentials)
    made.images[:] = [processed.main]
    for encoded, image in processed.derivatives:
        derivative = made.result.derivatives.add()
        derivative.CopyFrom(encoded)
        derivative.image_index = len(made.images)
        made.images.append(image)


async def as_webp(
    processing: Processing, source: Upload, provenance: credentials_pb2.Provenance, family: str
) -> AsyncGenerator[progress_pb2.Progress | Processed, None]:
    """The documented pipeline in one call. `optimize` is left out: its output would be superseded by convert-webp's."""
    spec = processing_pb2.ProcessSpec(
        operations=[processing_pb2.OPERATION_CONVERT_WEBP, processing_pb2.OPERATION_DERIVATIVES],
        family=family,
        provenance=provenance,
    )
    async with aclosing(processing.process(spec, source)) as events:
        async for event in events:
            if isinstance(event, progress_pb2.Progress):
                yield event
            else:
                result, outputs = event
                derivatives = paired(result.derivatives, outputs)
                yield Processed(outputs.image(result.image_index), result.credentials, derivatives)


async def as_format(
    processing: Processing,
    source: Upload,
    drawn: diffusion_pb2.GenerateResult,
    format: image_pb2.ImageFormat,
    family: str,
) -> AsyncGenerator[progress_pb2.Progress | Processed, None]:
    """The main image as a derivative of full width, then the family: each encoded once, from the same pixels."""
    course = Course()
    pairs: list[tuple[image_pb2.EncodedImage, Image]] = []
    specs = [
        processing_pb2.DerivativesSpec(widths=[drawn.width], formats=[format], provenance=drawn.provenance),
        processing_pb2.DerivativesSpec(family=family, provenance=drawn.provenance),
    ]
    for number, spec in enumerate(specs):
        async with aclosing(processing.derivatives(spec, source)) as events:
            async for event in events:
                if isinstance(event, progress_pb2.Progress):
                    yield course.part(event, number / len(specs), (number + 1) / len(specs))
                else:
                    pairs += paired(event[0].derivatives, event[1])
    (described, main), *derivatives = pairs
    yield Processed(main, described.credentials, derivatives)


def paired(
    descriptions: Iterable[image_pb2.EncodedImage], outputs: Outputs
) -> list[tuple[image_pb2.EncodedImage, Image]]:
    """Each description with its bytes."""
    return [(encoded, outputs.image(encoded.image_index)) for encoded in descriptions]
