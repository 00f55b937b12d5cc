"""The making of files from one decoded picture: in threads, the largest first, handed out as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from imajin_servers.processing.crop import Cut
from imajin_servers.processing.encode import Encoded, Recipe, encode
from imajin_servers.processing.picture import Picture
from imajin_servers.processing.resize import resize
from imajin_servers.processing.settings import Encoders
from imajin_servers.processing.work import Bench
from imajin_servers.runtime import marking

Marks = Callable[[Image.Image], Image.Image]
"""Draws text or a mark over an image."""


class Work(Protocol):
    """How one file is made. Equal works make equal bytes, and are done once."""

    @property
    def pixels(self) -> int:
        """Width times height of the file: how much work it is."""
        ...

    def do(self, picture: Picture, encoders: Encoders) -> Encoded:
        """Makes the file; runs in a thread."""
        ...


def finished(
    image: Image.Image,
    picture: Picture,
    part: tuple[float, float, float, float],
    recipe: Recipe,
    encoders: Encoders,
    actions: Sequence[str],
) -> Encoded:
    """`image`, made of `part` (left, top, width, height) of `picture` by `actions`, encoded.

    Marked and signed where the picture was generated.
    """
    if picture.lineage is None:
        return encode(image, recipe, encoders)
    left, top, width, height = part
    whole = marking.place_in(picture.width, picture.height)
    place = whole.cut(left, top, image.width / width, image.height / height)
    return picture.lineage.finished(image, place, recipe, encoders, actions)


@dataclass(frozen=True)
class Resized:
    """The whole picture at a size."""

    width: int
    height: int
    recipe: Recipe

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    def do(self, picture: Picture, encoders: Encoders) -> Encoded:
        """Resizes and encodes."""
        image = resize(picture.pixels, self.width, self.height)
        resized = ["c2pa.resized"] if image.size != picture.pixels.size else []
        whole = (0.0, 0.0, float(picture.width), float(picture.height))
        return finished(image, picture, whole, self.recipe, encoders, resized)


@dataclass(frozen=True)
class Cropped:
    """A part of the picture at a size, with marks drawn over it."""

    cut: Cut
    width: int
    height: int
    recipe: Recipe
    marks: Marks | None = None

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    def do(self, picture: Picture, encoders: Encoders) -> Encoded:
        """Cuts and resizes in one pass, then encodes."""
        box = self.cut.box
        part = (box.left, box.top, box.width, box.height)
        image = resize(picture.pixels, self.width, self.height, part)
        actions = ["c2pa.cropped"]
        if self.cut.upscale != 1:
            actions.append("c2pa.resized")
        if self.marks is not None:
            image = self.marks(image)
            actions.append("c2pa.edited")
        return finished(image, picture, part, self.recipe, encoders, actions)


@dataclass(frozen=True)
class Cleaned:
    """The file that came in, without its metadata."""

    pixels: int = 0

    def do(self, picture: Picture, encoders: Encoders) -> Encoded:
        """Hands out the stripped file, signed anew where it was generated: its pixels stay as they are."""
        file = self.stripped(picture, encoders)
        return file if picture.lineage is None else picture.lineage.untouched(file)

    def stripped(self, picture: Picture, encoders: Encoders) -> Encoded:
        """The stripped file; encodes where there is none: bare pixels, GIF, and the first frame of an animated WebP."""
        source = picture.source
        match source.header.format:
            case "raw" | "gif":
                return encode(picture.pixels, Recipe("png"), encoders)
            case "webp" if source.header.frames > 1:
                return encode(picture.pixels, Recipe("webp", lossless=True), encoders)
            case format:
                return Encoded(source.clean, format, picture.width, picture.height, 0)


@dataclass(frozen=True)
class Output:
    """One file of an answer: which one, what it is called, and how it is made."""

    index: int
    name: str
    work: Work


@dataclass(frozen=True)
class Made:
    """One file that was made."""

    output: Output
    file: Encoded


async def make(
    outputs: Sequence[Output], picture: Picture, encoders: Encoders, bench: Bench
) -> AsyncGenerator[Made, None]:
    """Makes all outputs, the largest first, as many at a time as there are workers, and yields each as soon as it is made.

    The next one is begun only when one was taken, so a reader that stops makes nothing pile up. Closing the generator
    drops what was not begun.
    """
    wanted: dict[Work, list[Output]] = {}
    for output in outputs:
        wanted.setdefault(output.work, []).append(output)
    waiting = sorted(wanted, key=lambda work: work.pixels)
    running: dict[asyncio.Task[Encoded], Work] = {}
    try:
        while waiting or running:
            while waiting and len(running) < bench.workers:
                work = waiting.pop()
                running[asyncio.create_task(bench.run(work.do, picture, encoders))] = work
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                for output in wanted[running.pop(task)]:
                    yield Made(output, task.result())
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
