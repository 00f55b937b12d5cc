"""The picture that all of a call's files are made of."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from imajin_servers.processing import metrics
from imajin_servers.processing.lineage import Lineage
from imajin_servers.runtime.decoding.decode import Source, decode


@dataclass(frozen=True)
class Picture:
    """A decoded image: upright, sRGB, mode RGB, or RGBA where a pixel may be transparent."""

    pixels: Image.Image
    source: Source
    lineage: Lineage | None = None
    """How files made of it are marked and signed; None for what no model made."""

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.pixels.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.pixels.height

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha channel."""
        return self.pixels.mode == "RGBA"


def decoded(source: Source) -> Picture:
    """The picture in `source`; how long that takes is measured. Raises ImageInvalid when the pixels are cut short or damaged."""
    with metrics.DECODE.labels(source.header.format).time():
        return Picture(decode(source), source)
