"""The making of files: once each, the largest first, no further than the reader reads."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from PIL import Image

from imajin_servers.processing.encode import Encoded, Recipe
from imajin_servers.processing.picture import Picture
from imajin_servers.processing.pipeline import Made, Output, Resized, make
from imajin_servers.processing.settings import Encoders
from imajin_servers.processing.work import Workshop
from imajin_servers.runtime.decoding.containers import Header
from imajin_servers.runtime.decoding.decode import Source

PICTURE = Picture(Image.new("RGB", (64, 64)), Source(Header("png", 64, 64), b"", (), 0))


@dataclass(frozen=True)
class Noted:
    """A work that notes that it was done."""

    pixels: int
    done: list[int] = field(compare=False)
    fails: bool = False

    def do(self, picture: Picture, encoders: Encoders) -> Encoded:
        if self.fails:
            raise ValueError("no room")
        self.done.append(self.pixels)
        return Encoded(bytes(8), "png", self.pixels, 1, 0)


def outputs(works: list[Noted]) -> list[Output]:
    return [Output(index, str(index), work) for index, work in enumerate(works)]


async def test_the_largest_is_made_first_and_equal_works_once() -> None:
    done: list[int] = []
    workshop = Workshop(1, 1, 1000)
    async with workshop.call() as bench:
        works = [Noted(pixels, done) for pixels in (3, 9, 5, 9)]
        made = [item async for item in make(outputs(works), PICTURE, Encoders(), bench)]
    assert done == [9, 5, 3]
    assert sorted(item.output.index for item in made) == [0, 1, 2, 3]
    workshop.close()


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_a_reader_that_stops_makes_nothing_pile_up(workers: int) -> None:
    done: list[int] = []
    workshop = Workshop(workers, 1, 1000)
    async with (
        workshop.call() as bench,
        aclosing(make(outputs([Noted(pixels, done) for pixels in range(20)]), PICTURE, Encoders(), bench)) as files,
    ):
        assert isinstance(await anext(files), Made)
        # Whatever was begun has ended when this comes out of the threads: they work in turn.
        for _ in range(workers):
            await bench.run(len, b"")
        assert len(done) <= workers
    workshop.close()
    assert len(done) <= workers


async def test_the_first_failure_ends_it_and_frees_the_place() -> None:
    done: list[int] = []
    workshop = Workshop(1, 1, 1000)
    with pytest.raises(ValueError, match="no room"):
        async with workshop.call() as bench:
            works = [Noted(9, done), Noted(8, done, fails=True), *(Noted(pixels, done) for pixels in range(5))]
            async for _ in make(outputs(works), PICTURE, Encoders(), bench):
                pass
    workshop.close()
    assert done == [9]


async def test_one_picture_encoded_in_two_ways_at_once_keeps_both_qualities() -> None:
    image = Image.effect_noise((256, 256), 60).convert("RGB")
    picture = Picture(image, Source(Header("png", 256, 256), b"", (), 0))
    works = [Resized(256, 256, Recipe("webp", quality)) for quality in (20, 95)]
    workshop = Workshop(2, 1, 1 << 30)
    for _ in range(10):
        async with workshop.call() as bench:
            found = [
                item async for item in make([Output(i, "", w) for i, w in enumerate(works)], picture, Encoders(), bench)
            ]
        low, high = sorted(found, key=lambda item: item.output.index)
        assert len(low.file.data) * 2 < len(high.file.data)
    workshop.close()
