"""What the processing server finds in an image, and makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import page_pb2, processing_pb2
from imajin_client.images import Downloads, Image
from imajin_client.names import word


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def from_proto(cls, box: image_pb2.Box) -> Box:
        """From the contract's message."""
        return cls(box.left, box.top, box.width, box.height)


@dataclass(frozen=True)
class FocalPoint:
    """Where the subject is, as fractions of width and height, and how that was found."""

    x: float
    y: float
    method: str
    """`given`, `face`, `saliency` or `center`."""
    confidence: float
    boxes: tuple[Box, ...]
    """Faces, or the salient region, in pixels."""

    @classmethod
    def from_proto(cls, point: image_pb2.FocalPoint) -> FocalPoint:
        """From the contract's message."""
        boxes = tuple(Box.from_proto(box) for box in point.boxes)
        return cls(point.x, point.y, word(image_pb2.FocalMethod, point.method), point.confidence, boxes)


@dataclass(frozen=True)
class Source:
    """What came in."""

    format: str
    width: int
    height: int
    size_bytes: int
    has_alpha: bool
    frames: int
    removed: tuple[str, ...]
    """Metadata blocks that sanitize removed, such as `exif`."""
    decode_ms: float
    encode_ms: float
    thumb_hash: str = ""
    """ThumbHash of the image, base64: a page draws a blurred stand-in out of it. https://evanw.github.io/thumbhash/"""

    @classmethod
    def from_proto(cls, source: processing_pb2.SourceMetadata) -> Source:
        """From the contract's message."""
        return cls(
            format=word(image_pb2.ImageFormat, source.format),
            width=source.width,
            height=source.height,
            size_bytes=source.size_bytes,
            has_alpha=source.has_alpha,
            frames=source.frames,
            removed=tuple(source.removed),
            decode_ms=source.decode_ms,
            encode_ms=source.encode_ms,
            thumb_hash=source.thumb_hash,
        )


@dataclass(frozen=True)
class PageOptions:
    """How the derivatives stand in a page. It shapes the snippet, no image."""

    sizes: str = ""
    """The `sizes` attribute, such as `(max-width: 40rem) 100vw, 40rem`; `100vw` when empty."""
    alt: str = ""
    """The `alt` attribute."""
    url_prefix: str = ""
    """What stands before every file name, such as `https://cdn.example.com/images/`."""
    eager: bool = False
    """Load at once, as the largest image at the top of a page should be."""

    def to_proto(self) -> page_pb2.PageSpec:
        """As the contract's message."""
        return page_pb2.PageSpec(sizes=self.sizes, alt=self.alt, url_prefix=self.url_prefix, eager=self.eager)


@dataclass(frozen=True)
class Page:
    """The derivatives as a page's author writes them."""

    html: str
    """The element, `<picture>` or `<img>`. Its file names are the `file_name` of each derivative."""
    sources: tuple[tuple[str, str], ...]
    """Media type and `srcset` of each encoding, the one of the fewest bytes first."""
    src: str
    """File for browsers that know nothing better."""
    sizes: str
    width: int
    """Of the largest derivative, in pixels."""
    height: int
    """Of the largest derivative, in pixels."""

    @classmethod
    def from_proto(cls, page: page_pb2.Page) -> Page:
        """From the contract's message."""
        sources = tuple((source.type, source.srcset) for source in page.sources)
        return cls(page.html, sources, page.src, page.sizes, page.width, page.height)


class Derivatives(list[Image]):
    """The responsive variants of an image, by width, then by format; with what a page's author needs."""

    page: Page | None = None
    """The element that shows them."""
    source: Source | None = None
    """What came in."""

    @classmethod
    def from_proto(cls, result: processing_pb2.DerivativesResult, downloads: Downloads) -> Derivatives:
        """From the contract's message and the bytes that came before it."""
        made = cls(downloads.encoded(item) for item in result.derivatives)
        made.page = Page.from_proto(result.page) if result.HasField("page") else None
        made.source = Source.from_proto(result.metadata)
        return made


@dataclass(frozen=True)
class Processed:
    """What a processing made."""

    image: Image | None
    """Output of the last operation that makes one; None when none did."""
    variants: tuple[Image, ...]
    """Outputs of the operations before the last, named after them."""
    derivatives: tuple[Image, ...]
    """Responsive variants."""
    focal_point: FocalPoint | None
    source: Source | None
    page: Page | None = None
    """The derivatives as a page's author writes them; None where there are none."""

    @classmethod
    def from_proto(cls, result: processing_pb2.ProcessResult, downloads: Downloads) -> Processed:
        """From the contract's message and the bytes that came before it."""
        return cls(
            image=main_image(result, downloads) if result.format else None,
            variants=tuple(downloads.encoded(item) for item in result.variants),
            derivatives=tuple(downloads.encoded(item) for item in result.derivatives),
            focal_point=FocalPoint.from_proto(result.focal_point) if result.HasField("focal_point") else None,
            source=Source.from_proto(result.metadata),
            page=Page.from_proto(result.page) if result.HasField("page") else None,
        )


@dataclass(frozen=True)
class Crop:
    """A crop that keeps the focal point, and how it was cut."""

    image: Image
    focal_point: FocalPoint
    """In the source."""
    box: Box
    """What was cut from the source, in its pixels."""
    upscale: float
    """How far the cut was enlarged; 1 and below means that it was not."""

    @classmethod
    def from_proto(cls, result: processing_pb2.ClipFocalResult, downloads: Downloads) -> Crop:
        """From the contract's message and the bytes that came before it."""
        focal_point = FocalPoint.from_proto(result.focal_point)
        return cls(main_image(result, downloads), focal_point, Box.from_proto(result.crop), result.upscale)


@dataclass(frozen=True)
class Family:
    """A family of derivatives: each width in each format."""

    name: str
    widths: tuple[int, ...]
    """In pixels."""
    formats: tuple[str, ...]
    is_default: bool


def main_image(result: processing_pb2.ProcessResult | processing_pb2.ClipFocalResult, downloads: Downloads) -> Image:
    """The image that a result is about, with its bytes."""
    data, _ = downloads.take(result.image_index)
    return Image(
        data,
        word(image_pb2.ImageFormat, result.format),
        result.width,
        result.height,
        quality=result.quality,
        file_name=result.file_name,
        score=result.score,
    )
