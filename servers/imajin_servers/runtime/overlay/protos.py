"""The contract's messages as wishes, with the contract's defaults filled in."""

from __future__ import annotations

from imajin.common.v1 import finishing_pb2
from imajin_servers.runtime.overlay.wishes import Anchor, TextOverlay, Watermark, colour


def anchor(value: finishing_pb2.Anchor, otherwise: Anchor) -> Anchor:
    """The place; `otherwise` when unspecified."""
    if not value:
        return otherwise
    return Anchor[finishing_pb2.Anchor.Name(value).removeprefix("ANCHOR_")]


def text_from_proto(message: finishing_pb2.TextOverlay) -> TextOverlay:
    """The overlay that `message` asks for."""
    plain = TextOverlay(message.text)
    return TextOverlay(
        text=message.text,
        position=anchor(message.position, plain.position),
        size=message.size or plain.size,
        color=colour(message.color, plain.color),
        stroke_color=colour(message.stroke_color, plain.stroke_color),
        stroke_width=message.stroke_width if message.HasField("stroke_width") else plain.stroke_width,
    )


def watermark_from_proto(message: finishing_pb2.Watermark) -> Watermark:
    """The watermark that `message` asks for."""
    plain = Watermark()
    return Watermark(
        text=message.text.strip() or plain.text,
        position=anchor(message.position, plain.position),
        opacity=message.opacity or plain.opacity,
    )
