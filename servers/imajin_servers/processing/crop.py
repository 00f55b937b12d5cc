"""Where to cut: the largest part of the right shape that holds the focal point and whole faces. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imajin_servers.runtime.errors import InvalidArgument

HEAD_ROOM = 0.5
"""Wanted above a face, as a fraction of its height: detectors box brow to chin, hair is above."""
CHEEK_ROOM = 0.15
"""Wanted beside and below a face, as a fraction of its width and height."""
MARGIN = 0.03
"""Wanted on each side of a subject, as a fraction of its size."""
TRIM = 0.08
"""What a face that isn't the most important may lose on each side, as a fraction of its size, rather than be left out."""
EYE_LINE = 0.42
"""Where the subject's centre goes in an upright cut that has room to choose: a little above the middle."""


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; fractions are meant."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Bottom edge."""
        return self.top + self.height

    @property
    def center(self) -> tuple[float, float]:
        """The middle."""
        return self.left + self.width / 2, self.top + self.height / 2


@dataclass(frozen=True)
class Cut:
    """What to cut, in pixels of the source, and how far it is enlarged to the size asked for (below 1: reduced)."""

    box: Box
    upscale: float


def plan(
    source: tuple[int, int],
    target: tuple[int, int],
    focal: tuple[float, float],
    faces: Sequence[Box] = (),
    max_upscale: float = 16.0,
    subjects: Sequence[Box] = (),
) -> Cut:
    """The cut of `source` (width, height) for `target` (width, height).

    It has exactly the target's aspect, is as large as that allows, lies inside the source and contains `focal` (pixels).
    `faces`, the most important first, are kept whole as long as all of them fit together with the focal point; what is
    left of the cut becomes room around them. `subjects` come after them and are kept whole where they fit too; a
    cut smaller than the first of them lies within it. Raises InvalidArgument when the cut would have to be enlarged beyond
    `max_upscale`.
    """
    scale = min(source[0] / target[0], source[1] / target[1])
    upscale = 1 / scale
    # A hair of tolerance: 8 times 100 px must not fail as 8.000000001.
    if upscale > max_upscale * (1 + 1e-9):
        text = (
            f"{target[0]} x {target[1]} pixels out of {source[0]} x {source[1]} means enlarging {upscale:.2f} times, "
            f"the limit is {max_upscale:g}"
        )
        raise InvalidArgument.field("max_upscale", text)
    width, height = min(target[0] * scale, source[0]), min(target[1] * scale, source[1])
    bare, roomy = [*faces, *subjects], [with_room(face, HEAD_ROOM, CHEEK_ROOM) for face in faces]
    roomy += [with_room(subject, MARGIN, MARGIN) for subject in subjects]
    across, down = [(box.left, box.right) for box in bare], [(box.top, box.bottom) for box in bare]
    main = subjects[0] if subjects else Box(0, 0, *source)
    wide, high = [(box.left, box.right) for box in roomy], [(box.top, box.bottom) for box in roomy]
    left = place(source[0], width, focal[0], wide, across, 0.5, (main.left, main.right))
    rest = EYE_LINE if faces else 0.5
    top = place(source[1], height, focal[1], high, down, rest, (main.top, main.bottom))
    return Cut(Box(left, top, width, height), upscale)


def with_room(box: Box, above: float, around: float) -> Box:
    """`box` with room `above` it and `around` its other sides, as fractions of its size."""
    return Box(
        box.left - around * box.width,
        box.top - above * box.height,
        box.width * (1 + 2 * around),
        box.height * (1 + above + around),
    )


Span = tuple[float, float]


def place(
    length: float, window: float, focal: float, roomy: Sequence[Span], bare: Sequence[Span], rest: float, main: Span
) -> float:
    """Where a window begins on an axis of `length`.

    The window must hold `focal`. Then `bare` spans, the most important first, are taken in as long as all of them fit; one
    that doesn't is left out, and the next is tried. What is left of the window becomes the room of those that are in, as
    far as it goes, shared between both sides. Within what is then still free, `focal` comes as near to `rest` (a fraction
    of the window) as it can, and the window leaves `main` no further than it must.
    """
    free = length - window
    low, high = focal, focal
    inside: list[Span] = []
    for wide, (start, end) in zip(roomy, bare, strict=True):
        # Company may lose a little at its edges: detectors box a face with some of what is around it.
        loose = TRIM * (end - start) if inside else 0.0
        for trim in (0.0, loose):
            first, last = max(0.0, start + trim), min(length, end - trim)
            if max(high, last) - min(low, first) <= window:
                low, high = min(low, first), max(high, last)
                inside.append(wide)
                break
    for start, end in inside:
        before, after = max(0.0, low - max(0.0, start)), max(0.0, min(length, end) - high)
        share = min(1.0, (window - (high - low)) / (before + after)) if before + after else 0.0
        low, high = low - share * before, high + share * after
    first, last = max(0.0, high - window), min(free, low)
    wanted = focal - rest * window
    if main[1] - main[0] >= window:
        wanted = min(max(wanted, main[0]), main[1] - window)
    return min(max(wanted, first), last, max(free, 0.0))
