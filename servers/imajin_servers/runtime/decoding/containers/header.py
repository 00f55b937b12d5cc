"""What a container says about its image, and the shape that every format's module has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from imajin_servers.runtime.decoding.containers.stated import Colours

FileFormat = Literal["png", "jpeg", "webp", "avif", "gif", "raw"]
MAX_BLOCKS = 65_536
"""Chunks, segments or boxes of one file. Real files have some thousand; more is made to keep a parser busy."""


@dataclass(frozen=True)
class Header:
    """What a file says about its image before anything is decoded. Sizes in pixels, before `orientation` is applied."""

    format: FileFormat
    width: int
    height: int
    frames: int = 1
    orientation: int = 1
    """EXIF orientation, 1 to 8; 1 where there is none."""
    icc: bool = False
    """Whether a colour profile is inside."""
    stated: Colours | None = None
    """Colours that the file states by numbers, where these go before a profile or there is none."""
    packed: int = 0
    """Bytes that hold the pixels of the first frame."""
    least: int = 0
    """Bytes that so many pixels take at least in this format, however plain they are; 0 where there is no such bound."""

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


@dataclass(frozen=True)
class Stripped:
    """A file without its metadata: what is left, and the names of what was removed, sorted."""

    data: bytes
    removed: tuple[str, ...]


class Container(Protocol):
    """One file format. Both readers raise ImageInvalid on a file that is cut short or malformed."""

    def recognises(self, data: bytes) -> bool:
        """Whether `data` begins like this format."""
        ...

    def inspect(self, data: bytes) -> Header:
        """Reads what the file says about its image."""
        ...

    def strip(self, data: bytes) -> Stripped:
        """Removes all but pixels, transparency, colour profile and orientation; the encoded pixels stay bit-equal."""
        ...
