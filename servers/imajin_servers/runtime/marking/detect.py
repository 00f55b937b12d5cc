"""A mark out of a picture, whatever it was cropped from and resized by.

All periods are tried at once on a spectrum of the picture's middle, the best of them measured out on the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imajin_servers.runtime.marking.carriers import (
    ACROSS,
    ALIKE_CARRIERS,
    DOWN,
    HIGHEST,
    KNOWN,
    PHASES,
    Complex,
    Place,
    coded,
    period_for,
    projected,
)
from imajin_servers.runtime.marking.code import decode
from imajin_servers.runtime.marking.view import View, view

SMALLEST_SIDE = 64
"""Pixels below which no mark can be told from chance."""
LONGEST = 1536
"""Pixels of the view along its longer side that are looked at, from the middle."""
WINDOW = 512
PERIODS = 26.0, 230.0
GRID = 32
"""Offsets tried along each side of a tile, at first."""
FINE_GRID = 64
TRIED = 5
"""Periods that are measured out, those of the highest scores at first."""
WORTH_MEASURING = 4.7
"""What small and halved pictures with a mark have at least."""
HOPELESS = 4.5
"""Scores below this do not become readable by measuring the two sides of tiles apart."""
NEIGHBOURS, SAME = 0.02, 0.002
"""How near to a likely period no other one is measured out, and how near the usual one isn't: a clear mark stands out around its own period, too."""
MOST_STEPS, STEPS_AROUND_USUAL = 3, 1
READABLE, CERTAIN = 6.0, 8.5
"""Scores: from the first on a payload is believed, from the second on a mark without one. See `chance`."""
TRIALS = 3e6
"""Periods and offsets that are tried, all in all; more than there are."""
GUESSED = (TRIED + 1) * 2.0**-20
"""The chance that noise decodes to a payload whose checksum and version are right, with every period measured out."""


@dataclass(frozen=True)
class Found:
    """A mark."""

    content_id: str
    """8 hexadecimal digits; empty where it can't be read."""
    version: int
    """0 where it can't be read."""
    score: float
    """How far the known carriers stand out, in standard deviations of chance."""
    period: float
    """Side of a tile in pixels of the picture."""

    @property
    def confidence(self) -> float:
        """1 minus the chance that a picture without a mark looks like this."""
        return 1.0 - chance(self.score) * (GUESSED if self.content_id else 1.0)


@dataclass(frozen=True)
class Fit:
    """The carriers as heard with tiles of some sides and place, in pixels of the view."""

    score: float
    period_x: float
    period_y: float
    heard: Complex
    """Relative to the carriers' own phases."""


def chance(score: float) -> float:
    """The most that the chance of `score` in a picture without a mark can be.

    The sum of numbers of known lengths and random phases exceeds `score` standard deviations with at most exp(-score^2 / 2), for
    the cosine of a random phase is sub-Gaussian with variance 1/2; times the number of trials.
    """
    return min(1.0, TRIALS * float(np.exp(-score * score / 2)))


def detect(image: Image.Image) -> Found | None:
    """The mark in `image`; None where there is none."""
    if min(image.size) < SMALLEST_SIDE:
        return None
    seen = view(image.convert("RGB"))
    unread: Found | None = None
    for fit in fits(seen, image.size):
        found = read(fit, seen)
        if found is not None and found.content_id:
            return found
        unread = unread or found
    return unread


def read(fit: Fit, seen: View) -> Found | None:
    """What a fit says; None where chance may have made it."""
    if fit.score < READABLE:
        return None
    payload = decode(coded(weighed(fit.heard)))
    period = float(np.sqrt(fit.period_x * fit.period_y)) / seen.scale
    if payload is not None:
        return Found(f"{payload.content_id:08x}", payload.version, fit.score, period)
    return Found("", 0, fit.score, period) if fit.score >= CERTAIN else None


def middle(signal: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """The middle of `signal`, no side longer than `longest`."""
    height, width = min(signal.shape[0], longest), min(signal.shape[1], longest)
    top, left = (signal.shape[0] - height) // 2, (signal.shape[1] - width) // 2
    return signal[top : top + height, left : left + width]


def all_periods(length: int) -> NDArray[np.float64]:
    """Periods to try on `length` pixels: so close together that the highest carrier keeps its phase to the ends."""
    periods = [PERIODS[0]]
    while periods[-1] < PERIODS[1]:
        periods.append(periods[-1] * (1 + min(0.012, periods[-1] / (3 * HIGHEST * length))))
    return np.array(periods)


def fits(seen: View, size: tuple[int, int]) -> Iterator[Fit]:
    """Marks that may be in the view of a picture of `size`: of the likely periods, and of that of pictures of this size."""
    signal = middle(seen.signal, LONGEST)
    likely = likely_periods(signal)
    for period in likely:
        yield measured(signal, period)
    usual = period_for(*size) * seen.scale
    if usual >= PERIODS[0] and all(abs(usual / period - 1) > SAME for period in likely):
        yield measured(signal, usual, STEPS_AROUND_USUAL)


def likely_periods(signal: NDArray[np.float32]) -> list[float]:
    """The periods with the highest scores, as far as they may be more than chance."""
    part = middle(signal, WINDOW)
    height, width = part.shape
    size = 2 * (256 if max(part.shape) <= 256 else WINDOW)
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]) ** 0.5
    spectrum = np.fft.rfft2(part * taper.astype(np.float32), (size, size))
    periods = all_periods(max(part.shape))
    across = np.rint(ACROSS[:KNOWN] / periods[:, None] * size).astype(int)
    down = np.rint(DOWN[:KNOWN] / periods[:, None] * size).astype(int)
    inside = (across < size // 2) & (np.abs(down) < size // 2)
    # Phases are those at the middle: there they change least with the period.
    turn = np.exp(2j * np.pi * (across * (width // 2) + down * (height // 2)) / size)
    heard = evened(spectrum[down % size, np.minimum(across, size // 2)] * inside * turn) * np.conj(PHASES[:KNOWN])
    grids = np.zeros((len(periods), GRID, GRID), np.complex64)
    grids[:, DOWN[:KNOWN] % GRID, ACROSS[:KNOWN] % GRID] = heard
    sums = np.fft.ifft2(grids, axes=(1, 2)).real.reshape(len(periods), -1).max(axis=1) * GRID * GRID
    scores = sums / np.sqrt(np.sum(np.abs(heard) ** 2, axis=1) / 2 + 1e-9)
    likely: list[float] = []
    for at in np.argsort(scores)[::-1]:
        if len(likely) == TRIED or scores[at] < WORTH_MEASURING:
            break
        # A clear mark stands out at the periods around its own, too.
        if all(abs(periods[at] / other - 1) > NEIGHBOURS for other in likely):
            likely.append(float(periods[at]))
    return likely


def evened(heard: Complex) -> Complex:
    """Loud carriers made less loud: a strong one is more likely the picture's own."""
    loud = np.abs(heard)
    even: Complex = (heard / (loud + 0.5 * np.median(loud, axis=-1, keepdims=True) + 1e-9)).astype(np.complex64)
    return even


def measured(signal: NDArray[np.float32], period: float, most_steps: int = MOST_STEPS) -> Fit:
    """The best fit near `period`, its two sides apart: sizes are rounded to pixels."""
    step = period / (3 * HIGHEST * max(signal.shape))
    steps = round(min(NEIGHBOURS / step, most_steps))
    along = (period * (1 + at * step) for at in range(-steps, steps + 1))
    best = max((fitted(signal, side, side) for side in along), key=lambda fit: fit.score)
    if best.score < HOPELESS:
        return best
    for _ in range(2):
        here = best
        for x, y in ((1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)):
            fit = fitted(signal, here.period_x * (1 + x * step), here.period_y * (1 + y * step))
            best = max(best, fit, key=lambda fit: fit.score)
        step /= 2
    return best


def fitted(signal: NDArray[np.float32], period_x: float, period_y: float) -> Fit:
    """The best place for tiles of these sides."""
    height, width = signal.shape
    heard = evened(projected(signal, Place(period_x, period_y, width // 2, height // 2)))
    grid = np.zeros((FINE_GRID, FINE_GRID), np.complex64)
    grid[DOWN[:KNOWN] % FINE_GRID, ACROSS[:KNOWN] % FINE_GRID] = heard[:KNOWN]
    down, across = np.unravel_index(int(np.fft.ifft2(grid).real.argmax()), grid.shape)
    halves = np.linspace(-0.5, 0.5, 5)
    shifts = np.stack(np.meshgrid(across + halves, down + halves), axis=-1).reshape(-1, 2)
    turns = np.exp(2j * np.pi * (shifts @ np.stack([ACROSS, DOWN])) / FINE_GRID)
    sums = (turns[:, :KNOWN] * heard[:KNOWN]).real.sum(axis=1)
    at = int(sums.argmax())
    score = float(sums[at] / np.sqrt(np.sum(np.abs(heard[:KNOWN]) ** 2) / 2 + 1e-9))
    return Fit(score, period_x, period_y, (heard * turns[at]).astype(np.complex64))


def weighed(heard: Complex) -> Complex:
    """The carriers that are not known, weighed by how well the known ones of like frequency came through."""
    near = ALIKE_CARRIERS[KNOWN:, :KNOWN]
    came = np.maximum((near * heard[:KNOWN].real).sum(axis=1) / near.sum(axis=1), 0.02)
    weighed: Complex = (heard[KNOWN:] * came).astype(np.complex64)
    return weighed
