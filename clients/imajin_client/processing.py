"""From an image to images: what the processing server is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2, verify_pb2
from imajin_client.calls import Calls
from imajin_client.credentials import Verification
from imajin_client.drawing import TextOverlay, Watermark, mark, overlay
from imajin_client.errors import Unavailable
from imajin_client.filled import filled
from imajin_client.images import Downloads, ImageSource, messages, upload
from imajin_client.names import Format, Operation, value, word
from imajin_client.processed import Crop, Derivatives, Family, FocalPoint, PageOptions, Processed
from imajin_client.progress import OnProgress, Progress

if TYPE_CHECKING:
    from imajin_client.calls import ManyAnswers

AnswerT = TypeVar(
    "AnswerT",
    processing_pb2.ProcessResponse,
    processing_pb2.CreateDerivativesResponse,
    processing_pb2.ClipFocalResponse,
)


class Processing(Calls):
    """What the client asks the processing server."""

    async def process(
        self,
        image: ImageSource,
        *,
        operations: Sequence[Operation] = (),
        family: str = "",
        size: tuple[int, int] | None = None,
        focal_point: tuple[float, float] | None = None,
        target_quality: float = 0,
        page: PageOptions | None = None,
        timeout: float | None = 300,
        on_progress: OnProgress | None = None,
    ) -> Processed:
        """Applies operations to an image, in order; optimize, convert-webp and derivatives when none are given.

        `size` in pixels is needed by clip-focal; `focal_point` as fractions is detected when absent. A `target_quality`
        takes the fewest bytes that look so near to the original, by SSIMULACRA 2: 50 is medium, 70 high, 90 without a
        difference that one sees. `page` shapes the snippet that comes with the derivatives.
        """
        spec = filled(
            processing_pb2.ProcessSpec,
            operations=[value(processing_pb2.Operation, item, "operations") for item in operations],
            family=family,
            size=filled(image_pb2.Size, width=size[0], height=size[1]) if size else None,
            focal_point=point(focal_point),
            target_quality=target_quality,
            page=page.to_proto() if page else None,
        )
        request = messages(processing_pb2.ProcessRequest, spec, await upload(image))
        call = self._wire.processing.Process(request, timeout=timeout)
        answer, downloads = await self._last(call, on_progress)
        return Processed.from_proto(answer.result, downloads)

    async def derivatives(
        self,
        image: ImageSource,
        *,
        family: str = "",
        widths: Sequence[int] = (),
        formats: Sequence[Format] = (),
        target_quality: float = 0,
        page: PageOptions | None = None,
        timeout: float | None = 300,
        on_progress: OnProgress | None = None,
    ) -> Derivatives:
        """Makes the responsive variants of an image: of a family, or of `widths` in pixels, in `formats`.

        A `target_quality` takes the fewest bytes that look so near to the original; see `process`. `page` shapes the
        snippet that comes with them, as `page.html` of the list.
        """
        spec = filled(
            processing_pb2.DerivativesSpec,
            family=family,
            widths=list(widths),
            formats=[value(image_pb2.ImageFormat, item, "formats") for item in formats],
            target_quality=target_quality,
            page=page.to_proto() if page else None,
        )
        request = messages(processing_pb2.CreateDerivativesRequest, spec, await upload(image))
        call = self._wire.processing.CreateDerivatives(request, timeout=timeout)
        answer, downloads = await self._last(call, on_progress)
        return Derivatives.from_proto(answer.result, downloads)

    async def clip_focal(
        self,
        image: ImageSource,
        width: int,
        height: int,
        *,
        focal_point: tuple[float, float] | None = None,
        format: Format | None = None,
        quality: int = 0,
        target_quality: float = 0,
        text_overlay: TextOverlay | str | None = None,
        watermark: Watermark | str | None = None,
        max_upscale: float = 0,
        timeout: float | None = 120,
    ) -> Crop:
        """Crops to a size in pixels and keeps the focal point in the crop; it is detected where none is given.

        Give `quality`, 1 to 100, or a `target_quality`, see `process`, or neither.
        """
        spec = filled(
            processing_pb2.ClipFocalSpec,
            width=width,
            height=height,
            focal_point=point(focal_point),
            format=value(image_pb2.ImageFormat, format, "format"),
            quality=quality,
            target_quality=target_quality,
            text_overlay=overlay(text_overlay),
            watermark=mark(watermark),
            max_upscale=max_upscale,
        )
        request = messages(processing_pb2.ClipFocalRequest, spec, await upload(image))
        call = self._wire.processing.ClipFocal(request, timeout=timeout)
        answer, downloads = await self._last(call)
        return Crop.from_proto(answer.result, downloads)

    async def focal_point(self, image: ImageSource, *, timeout: float | None = 60) -> FocalPoint:
        """Finds where the subject is: faces, then the salient region, then the centre."""
        request = messages(
            processing_pb2.DetectFocalPointRequest, processing_pb2.DetectFocalPointSpec(), await upload(image)
        )
        call = self._wire.processing.DetectFocalPoint(request, timeout=timeout)
        return FocalPoint.from_proto((await self._wire.one("processing", call)).focal_point)

    async def verify(self, image: ImageSource, *, timeout: float | None = 60) -> Verification:
        """Says where an image comes from: what its C2PA manifest says, whether that holds, and the mark in its pixels."""
        request = messages(verify_pb2.VerifyRequest, verify_pb2.VerifySpec(), await upload(image))
        call = self._wire.processing.Verify(request, timeout=timeout)
        return Verification.from_proto(await self._wire.one("processing", call))

    async def families(self, *, timeout: float | None = 30) -> dict[str, Family]:
        """The families of derivatives by name."""
        call = self._wire.processing.ListFamilies(processing_pb2.ListFamiliesRequest(), timeout=timeout)
        answer = await self._wire.one("processing", call)
        return {
            name: Family(
                name=name,
                widths=tuple(answer.families[name].widths),
                formats=tuple(word(image_pb2.ImageFormat, item) for item in answer.families[name].formats),
                is_default=name == answer.default_family,
            )
            for name in sorted(answer.families)
        }

    async def _last(
        self, call: ManyAnswers[AnswerT], on_progress: OnProgress | None = None
    ) -> tuple[AnswerT, Downloads]:
        """The message with the result, which ends `call`, and the images that came before it."""
        downloads = Downloads()
        async with self._wire.many("processing", call) as answers:
            async for answer in answers:
                if answer.HasField("chunk"):
                    downloads.add(answer.chunk)
                elif answer.HasField("result"):
                    return answer, downloads
                elif on_progress is not None and not isinstance(answer, processing_pb2.ClipFocalResponse):
                    on_progress(Progress.from_proto(answer.progress))
        raise Unavailable("the processing ended without a result", details={"server": "processing"})


def point(given: tuple[float, float] | None) -> image_pb2.Point | None:
    """A focal point as the contract's message."""
    return filled(image_pb2.Point, x=given[0], y=given[1]) if given is not None else None
