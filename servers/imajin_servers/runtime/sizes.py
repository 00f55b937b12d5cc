"""The sizes that pages ask for by name; the prompt server takes their shape, the orchestrator their pixels."""

from __future__ import annotations

SIZES: dict[str, tuple[int, int]] = {
    "hero": (1920, 1080),
    "og": (1200, 630),
    "banner": (1200, 480),
    "video": (1280, 720),
    "card": (800, 600),
    "thumbnail": (400, 300),
    "sidebar": (300, 600),
    "square": (1080, 1080),
    "avatar": (512, 512),
    "portrait": (1080, 1350),
    "pin": (1000, 1500),
    "poster": (1200, 1800),
    "story": (1080, 1920),
}
"""Width and height in pixels by name, at the widths that page builders and networks ask for. Settings add to them."""
