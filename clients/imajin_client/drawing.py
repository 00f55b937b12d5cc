"""How to draw: what every call that draws takes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from imajin.common.v1 import drawing_pb2, finishing_pb2, image_pb2, model_pb2
from imajin_client.filled import filled
from imajin_client.names import Anchor, Format, Scheduler, Style, value


@dataclass(frozen=True)
class TextOverlay:
    """Text drawn over an image."""

    text: str
    """At most 500 characters; `\\n` breaks lines, long lines wrap."""
    position: Anchor | None = None
    """The bottom when None."""
    size: float = 0.0
    """Height of the letters as a fraction of the image's, 0.01 to 0.5; 0 means the server's default."""
    color: str = ""
    """`#rrggbb` or `#rrggbbaa`; white when empty."""
    stroke_color: str = ""
    """`#rrggbb` or `#rrggbbaa`; black when empty."""
    stroke_width: float | None = None
    """As a fraction of the letters' height, 0 to 0.3."""

    def to_proto(self) -> finishing_pb2.TextOverlay:
        """The contract's message."""
        return filled(
            finishing_pb2.TextOverlay,
            text=self.text,
            position=value(finishing_pb2.Anchor, self.position, "position"),
            size=self.size,
            color=self.color,
            stroke_color=self.stroke_color,
            stroke_width=self.stroke_width,
        )


@dataclass(frozen=True)
class Watermark:
    """A visible mark that says who made the image."""

    text: str = ""
    """At most 100 characters; `imajin` when empty."""
    position: Anchor | None = None
    """The bottom right when None."""
    opacity: float = 0.0
    """0.05 to 1; 0 means the server's default."""

    def to_proto(self) -> finishing_pb2.Watermark:
        """The contract's message."""
        position = value(finishing_pb2.Anchor, self.position, "position")
        return filled(finishing_pb2.Watermark, text=self.text, position=position, opacity=self.opacity)


def overlay(given: TextOverlay | str | None) -> finishing_pb2.TextOverlay | None:
    """A text overlay, from its text alone or in full."""
    return (TextOverlay(given) if isinstance(given, str) else given).to_proto() if given else None


def mark(given: Watermark | str | None) -> finishing_pb2.Watermark | None:
    """A watermark, from its text alone or in full."""
    return None if given is None else (Watermark(given) if isinstance(given, str) else given).to_proto()


Loras = Mapping[str, float] | Sequence[str]
"""Adapters of the server's registry, by name: each as strongly as it was trained, or with a weight."""


def adapters(loras: Loras) -> list[drawing_pb2.LoraWeight]:
    """The contract's messages of `loras`."""
    if isinstance(loras, Mapping):
        return [filled(drawing_pb2.LoraWeight, name=name, weight=weight) for name, weight in loras.items()]
    return [filled(drawing_pb2.LoraWeight, name=name) for name in ([loras] if isinstance(loras, str) else loras)]


class DrawOptions(TypedDict, total=False):
    """How to draw. What is absent is the model's or the server's default."""

    negative_prompt: str
    """What not to draw."""
    model: str
    """Name of a model in the registry."""
    style: Style | None
    """Style of the model, where no model is named."""
    steps: int | None
    """Denoising steps, 1 to 150."""
    guidance_scale: float | None
    """0 to 30."""
    seed: int | None
    """Seed of the noise, 0 to 2**32 - 1; random when absent."""
    format: Format | None
    """Encoding of the image."""
    text_overlay: TextOverlay | str | None
    """Text to draw over the image."""
    watermark: Watermark | str | None
    """Visible mark to draw on the image; `""` for the server's default text."""
    priority: int | None
    """Higher goes first, 0 to 100; 50 when absent."""
    scheduler: Scheduler | None
    """How the noise is taken away; the model's own way when absent."""
    loras: Loras
    """Adapters to draw with: names, or names with how strongly each is heard."""


def fields(
    *,
    negative_prompt: str = "",
    model: str = "",
    style: Style | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int | None = None,
    format: Format | None = None,
    text_overlay: TextOverlay | str | None = None,
    watermark: Watermark | str | None = None,
    priority: int | None = None,
    scheduler: Scheduler | None = None,
    loras: Loras = (),
) -> dict[str, Any]:
    """DrawOptions as fields of the contract, whose messages name them alike."""
    return {
        "negative_prompt": negative_prompt,
        "model": model,
        "style": value(model_pb2.ModelStyle, style, "style"),
        "steps": steps,
        "guidance_scale": guidance_scale,
        "seed": seed,
        "format": value(image_pb2.ImageFormat, format, "format"),
        "text_overlay": overlay(text_overlay),
        "watermark": mark(watermark),
        "priority": priority,
        "scheduler": value(drawing_pb2.Scheduler, scheduler, "scheduler"),
        "loras": adapters(loras),
    }
