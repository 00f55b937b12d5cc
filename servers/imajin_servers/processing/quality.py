"""The lowest encoder quality whose output looks as near to the original as asked for, in a bounded number of tries. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Tried = Literal["jpeg", "webp", "avif"]
MOST_TRIES = 4
"""Encodings that one search may make."""
LOWEST, HIGHEST = 5, 98
"""Qualities that are searched; above, files grow without anything to see."""
NEAR = 0.75
"""A score this little above the target is not improved upon."""
SURE = 3.0
"""How far above the target the last try aims when none has reached it."""
USUAL_SLOPE = 1.1
"""How much steeper than the median picture's a curve is taken to be before two scores are known."""
CURVES: dict[Tried, tuple[tuple[float, float], ...]] = {
    "webp": ((0, 5), (20, 40.7), (40, 57.2), (60, 66.4), (75, 72.4), (85, 80.0), (92, 85.6), (97, 88.7), (100, 91)),
    "jpeg": ((0, 5), (20, 37.5), (40, 61.0), (60, 70.5), (75, 76.5), (85, 81.7), (92, 86.1), (97, 89.4), (100, 93)),
    "avif": ((0, 5), (20, 16.3), (35, 44.7), (50, 66.1), (60, 75.8), (70, 81.2), (80, 85.1), (92, 88.4), (100, 94)),
}
"""Qualities of the encoder and the scores of SSIMULACRA 2 that they reach: the median of eleven pictures. Where a search starts."""


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """One try: what came out at a quality, and its score."""

    quality: int
    score: float
    made: T


def lowest(target: float, kind: Tried, attempt: Callable[[int], tuple[float, T]]) -> Attempt[T]:
    """The try with the lowest quality that reaches `target`; where none does, the one with the highest score.

    `attempt` encodes at a quality and scores. The first try goes where the median picture reaches the target, each further one
    where its curve, bent through the scores so far, does: within what they left open.
    """
    tries: list[Attempt[T]] = []
    low, high = LOWEST - 1, HIGHEST + 1
    wanted = inverse(kind, target)
    while len(tries) < MOST_TRIES and high - low > 1:
        tries.append(taken(clamp(wanted, low + 1, high - 1), attempt))
        last = tries[-1]
        if last.score >= target:
            high = last.quality
            if last.score <= target + NEAR:
                break
        else:
            low = last.quality
        # Aims a little above: just below the target is of no use. The last try must not fail where one has to succeed.
        above = SURE if high > HIGHEST and len(tries) == MOST_TRIES - 1 else NEAR / 3
        wanted = expected(target + above, kind, tries)
    reached = [each for each in tries if each.score >= target]
    if reached:
        return min(reached, key=lambda each: each.quality)
    return max(tries, key=lambda each: each.score)


def taken(quality: int, attempt: Callable[[int], tuple[float, T]]) -> Attempt[T]:
    """One try."""
    score, made = attempt(quality)
    return Attempt(quality, score, made)


def expected(target: float, kind: Tried, tries: list[Attempt[T]]) -> float:
    """The quality at which `target` is to be expected: by the two tries that are nearest to it, or by the only one."""
    near, *others = sorted(tries, key=lambda each: abs(each.score - target))
    slope = USUAL_SLOPE
    if others and near.quality != others[0].quality:
        rise = curve(kind, near.quality) - curve(kind, others[0].quality)
        slope = max(0.5, min(2.5, (near.score - others[0].score) / rise))
    return inverse(kind, curve(kind, near.quality) + (target - near.score) / slope)


def curve(kind: Tried, quality: float) -> float:
    """The score of the median picture at `quality`."""
    points = CURVES[kind]
    return between([point[0] for point in points], [point[1] for point in points], quality)


def inverse(kind: Tried, score: float) -> float:
    """The quality that the median picture needs for `score`."""
    points = CURVES[kind]
    return between([point[1] for point in points], [point[0] for point in points], score)


def between(given: list[float], wanted: list[float], value: float) -> float:
    """Straight lines through points in ascending order; flat beyond the ends."""
    if value <= given[0]:
        return wanted[0]
    for number in range(1, len(given)):
        if value <= given[number]:
            part = (value - given[number - 1]) / (given[number] - given[number - 1])
            return wanted[number - 1] + part * (wanted[number] - wanted[number - 1])
    return wanted[-1]


def clamp(value: float, low: int, high: int) -> int:
    """The nearest whole number from `low` to `high`."""
    return max(low, min(high, round(value)))
