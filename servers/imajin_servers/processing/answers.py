"""Domain values as messages, and the words of the contract as ours."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.processing.v1 import page_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin_servers.processing import derivatives
from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.point import Focus
from imajin_servers.processing.operations import Operation
from imajin_servers.processing.page import File, Place, page
from imajin_servers.processing.picture import Picture
from imajin_servers.processing.pipeline import Made
from imajin_servers.processing.settings import Encoding, FamilySettings
from imajin_servers.runtime.credentials.sealing import NOTHING

FORMATS: dict[str, image_pb2.ImageFormat] = {
    "png": image_pb2.IMAGE_FORMAT_PNG,
    "jpeg": image_pb2.IMAGE_FORMAT_JPEG,
    "webp": image_pb2.IMAGE_FORMAT_WEBP,
    "avif": image_pb2.IMAGE_FORMAT_AVIF,
    "gif": image_pb2.IMAGE_FORMAT_GIF,
    "raw": image_pb2.IMAGE_FORMAT_RAW_RGB8,
}
ENCODINGS: dict[int, Encoding] = {
    image_pb2.IMAGE_FORMAT_PNG: "png",
    image_pb2.IMAGE_FORMAT_JPEG: "jpeg",
    image_pb2.IMAGE_FORMAT_WEBP: "webp",
    image_pb2.IMAGE_FORMAT_AVIF: "avif",
}
OPERATIONS: dict[int, Operation] = {
    pb.OPERATION_SANITIZE: "sanitize",
    pb.OPERATION_OPTIMIZE: "optimize",
    pb.OPERATION_CONVERT_WEBP: "convert-webp",
    pb.OPERATION_DERIVATIVES: "derivatives",
    pb.OPERATION_DETECT_FOCAL_POINT: "detect-focal-point",
    pb.OPERATION_CLIP_FOCAL: "clip-focal",
}
METHODS: dict[str, image_pb2.FocalMethod] = {
    "given": image_pb2.FOCAL_METHOD_GIVEN,
    "face": image_pb2.FOCAL_METHOD_FACE,
    "saliency": image_pb2.FOCAL_METHOD_SALIENCY,
    "center": image_pb2.FOCAL_METHOD_CENTER,
}
PROGRESS_SECONDS = 0.1
"""Least time between two progress messages."""


def focal_point(focus: Focus) -> image_pb2.FocalPoint:
    """A focal point."""
    return image_pb2.FocalPoint(
        x=focus.x, y=focus.y, method=METHODS[focus.method], confidence=focus.confidence, boxes=map(box, focus.boxes)
    )


def box(rectangle: Box) -> image_pb2.Box:
    """The smallest rectangle of whole pixels around `rectangle`."""
    left, top = math.floor(rectangle.left + 1e-6), math.floor(rectangle.top + 1e-6)
    right, bottom = math.ceil(rectangle.right - 1e-6), math.ceil(rectangle.bottom - 1e-6)
    return image_pb2.Box(left=left, top=top, width=right - left, height=bottom - top)


def encoded(made: Made) -> image_pb2.EncodedImage:
    """A file that was made, without its bytes."""
    file = made.file
    return image_pb2.EncodedImage(
        name=made.output.name,
        image_index=made.output.index,
        format=FORMATS[file.format],
        width=file.width,
        height=file.height,
        size_bytes=len(file.data),
        quality=file.quality,
        file_name=derivatives.file_name(made.output.name, file.format, file.digest),
        score=file.score,
        credentials=file.credentials.to_proto() if file.credentials != NOTHING else None,
    )


def snippet(made: Sequence[image_pb2.EncodedImage], spec: page_pb2.PageSpec, thumb_hash: str) -> page_pb2.Page | None:
    """Derivatives as they stand in a page; None where there are none."""
    if not made:
        return None
    files = [File(item.file_name, ENCODINGS[item.format], item.width, item.height, item.size_bytes) for item in made]
    found = page(files, Place(spec.sizes, spec.alt, spec.url_prefix, spec.eager), thumb_hash)
    return page_pb2.Page(
        html=found.html,
        sources=[page_pb2.PageSource(type=source.type, srcset=source.srcset) for source in found.sources],
        src=found.src,
        sizes=found.sizes,
        width=found.width,
        height=found.height,
    )


def metadata(
    picture: Picture, removed: tuple[str, ...], decode_ms: float, encode_ms: float, thumb_hash: str
) -> pb.SourceMetadata:
    """What came in."""
    source = picture.source
    return pb.SourceMetadata(
        format=FORMATS[source.header.format],
        width=picture.width,
        height=picture.height,
        size_bytes=source.size_bytes,
        has_alpha=picture.has_alpha,
        frames=source.header.frames,
        removed=removed,
        decode_ms=decode_ms,
        encode_ms=encode_ms,
        thumb_hash=thumb_hash,
    )


def family(settings: FamilySettings) -> pb.Family:
    """A family of derivatives."""
    return pb.Family(widths=settings.widths, formats=[FORMATS[encoding] for encoding in settings.formats])


class Ticker:
    """Progress of a call: the latest wins, at most one in `PROGRESS_SECONDS`, and always the first and the last."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.clock = clock
        self.done = 0
        self.said = -math.inf

    def now(self) -> progress_pb2.Progress | None:
        """What to say now; None when something was said just before."""
        if self.done < self.total and self.clock() - self.said < PROGRESS_SECONDS:
            return None
        self.said = self.clock()
        progress = progress_pb2.Progress(fraction=self.done / max(1, self.total))
        progress.processing.done = self.done
        progress.processing.total = self.total
        return progress
