"""What is drawn over a crop: text, then the visible watermark."""

from __future__ import annotations

from PIL import Image

from imajin.processing.v1 import processing_pb2 as pb
from imajin_servers.processing.pipeline import Marks
from imajin_servers.runtime import overlay


def check(spec: pb.ClipFocalSpec) -> None:
    """Raises InvalidArgument for text that can't be drawn at the size of the crop."""
    if spec.HasField("text_overlay"):
        overlay.check_text(overlay.text_from_proto(spec.text_overlay), spec.width, spec.height)
    if spec.HasField("watermark"):
        overlay.check_watermark(overlay.watermark_from_proto(spec.watermark), spec.width, spec.height)


def of(spec: pb.ClipFocalSpec) -> Marks | None:
    """Draws what `spec` asks for; None when it asks for nothing."""
    text = overlay.text_from_proto(spec.text_overlay) if spec.HasField("text_overlay") else None
    mark = overlay.watermark_from_proto(spec.watermark) if spec.HasField("watermark") else None
    if text is None and mark is None:
        return None

    def draw(image: Image.Image) -> Image.Image:
        if text is not None:
            image = overlay.draw_text(image, text)
        return overlay.draw_watermark(image, mark) if mark is not None else image

    return draw
