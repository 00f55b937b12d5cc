"""Letters on images: text overlays and visible watermarks. Needs Pillow; knows nothing of gRPC calls or models."""

from imajin_servers.runtime.overlay.draw import draw_text, draw_watermark
from imajin_servers.runtime.overlay.layout import check_text, check_watermark
from imajin_servers.runtime.overlay.protos import text_from_proto, watermark_from_proto
from imajin_servers.runtime.overlay.wishes import Anchor, TextOverlay, Watermark

__all__ = [
    "Anchor",
    "TextOverlay",
    "Watermark",
    "check_text",
    "check_watermark",
    "draw_text",
    "draw_watermark",
    "text_from_proto",
    "watermark_from_proto",
]
