"""What was found, and where the eye goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from PIL import Image

from imajin_servers.processing.crop import Box

Method = Literal["given", "face", "saliency", "center"]


@dataclass(frozen=True)
class Face:
    """A face: where it is in pixels of the image, and how sure the detector is, 0 to 1."""

    box: Box
    score: float


@dataclass(frozen=True)
class Focus:
    """The focal point as fractions of width and height, how it was found, how sure that is, and what was found, best first."""

    x: float
    y: float
    method: Method
    confidence: float
    boxes: tuple[Box, ...] = field(default=())
    subjects: tuple[Box, ...] = field(default=())
    """What stands apart from all around it, where there is such a thing: the main thing, then all of them together."""


class FaceFinder(Protocol):
    """Anything that finds faces. Called in threads, from several at a time."""

    def find(self, image: Image.Image) -> Sequence[Face]:
        """The faces of an RGB image, in its pixels, in any order."""
        ...

    def suspect(self, image: Image.Image) -> Sequence[Face]:
        """What looks somewhat like a face, much less surely: in a drawing it may be a head."""
        ...

    def close(self) -> None:
        """Frees what is held."""
        ...


class Looker(Protocol):
    """One look of a detector. Called in threads, from several at a time."""

    def look(self, image: Image.Image, min_score: float) -> list[Face]:
        """The faces of an RGB image, seen whole, in its pixels, that are at least this sure."""
        ...

    def close(self) -> None:
        """Frees what is held."""
        ...
