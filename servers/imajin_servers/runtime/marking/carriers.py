"""The sinusoids that a mark is made of, and what of them is in a picture.

A carrier is a pair (across, down) of whole periods in one tile. A third of them are known to the detector; the others hold a
coded bit in their real and one in their imaginary part.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imajin_servers.runtime.marking.code import CODED_BITS, encode

Numbers = NDArray[np.float32]
Complex = NDArray[np.complex64]

LOWEST, HIGHEST = 6.0, 15.0
"""Periods in a tile: below is what pictures are made of, above is what encoders take away."""
REACH = int(HIGHEST)
SMALLEST_PERIOD = 64
"""Pixels of a tile's side in small pictures."""
TILES = 10
"""Tiles along the shorter side of large pictures: their mark keeps its place in the spectrum whatever they are resized to."""


@dataclass(frozen=True)
class Place:
    """Where the tiles of a mark lie, in pixels: their sides, and one of their corners."""

    period_x: float
    period_y: float
    origin_x: float = 0.0
    origin_y: float = 0.0

    def cut(self, left: float, top: float, scale_x: float, scale_y: float) -> Place:
        """Where they lie in what is cut at `left` and `top` and resized. Pixels are measured at their middles."""
        return Place(
            self.period_x * scale_x,
            self.period_y * scale_y,
            (self.origin_x + 0.5 - left) * scale_x - 0.5,
            (self.origin_y + 0.5 - top) * scale_y - 0.5,
        )


def keyed(label: str, count: int) -> NDArray[np.float64]:
    """Numbers from 0 to 1 that are the same everywhere."""
    drawn = np.frombuffer(hashlib.shake_256(f"imajin mark 1 {label}".encode()).digest(8 * count), "<u8")
    return drawn / 2.0**64


def all_carriers() -> NDArray[np.int64]:
    """Every carrier, in keyed order, `(N, 2)`."""
    pairs = [
        (across, down)
        for across in range(REACH + 1)
        for down in range(-REACH, REACH + 1)
        if (across > 0 or down > 0) and LOWEST <= np.hypot(across, down) <= HIGHEST
    ]
    return np.array(pairs)[np.argsort(keyed("order", len(pairs)))]


CARRIERS = all_carriers()
COUNT = len(CARRIERS)
KNOWN = COUNT // 3
"""The first ones are known to the detector."""
ACROSS, DOWN = CARRIERS[:, 0], CARRIERS[:, 1]
RADIUS = np.hypot(ACROSS, DOWN)
ALIKE_CARRIERS = np.exp(-0.5 * ((RADIUS[:, None] - RADIUS[None, :]) / 1.5) ** 2)
"""How alike the frequencies of two carriers are, from 0 to 1, `(COUNT, COUNT)`."""
PHASES: Complex = np.exp(2j * np.pi * keyed("phases", COUNT)).astype(np.complex64)
PLACES = 2 * (COUNT - KNOWN)
SHUFFLED = np.argsort(keyed("places", PLACES))
"""Where the coded bits go, one after another, again and again."""


def period_for(width: int, height: int) -> int:
    """Side of a tile, in pixels, in a picture of this size; even."""
    return 2 * round(max(SMALLEST_PERIOD, min(width, height) / TILES) / 2)


def symbols(content_id: int) -> Complex:
    """What each carrier says of `content_id`, relative to its own phase, each of length 1."""
    said = np.ones(COUNT, np.complex64)
    places = np.empty(PLACES, np.float32)
    places[SHUFFLED] = np.resize(encode(content_id), PLACES)
    said[KNOWN:] = (places[0::2] + 1j * places[1::2]) / np.sqrt(2)
    return said


def coded(heard: Complex) -> Numbers:
    """The soft coded bits in what the carriers that are not known say."""
    places = np.stack([heard.real, heard.imag], axis=1).ravel()[SHUFFLED]
    soft = np.zeros(CODED_BITS, np.float32)
    np.add.at(soft, np.arange(PLACES) % CODED_BITS, places)
    return soft


def tile(amplitudes: Complex, period: int) -> Numbers:
    """The sum of all carriers over one tile, `(period, period)`; its mean square is 1 where those of `amplitudes` are."""
    spectrum = np.zeros((period, period), np.complex64)
    spectrum[DOWN % period, ACROSS % period] = amplitudes / 2
    spectrum[-DOWN % period, -ACROSS % period] = np.conj(amplitudes) / 2
    summed: Numbers = (np.fft.ifft2(spectrum).real * period * period / np.sqrt(COUNT / 2)).astype(np.float32)
    return summed


def projected(signal: Numbers, place: Place) -> Complex:
    """How much of each carrier is in `signal`, relative to the carriers' own phases."""
    down = both_ways(signal.shape[0], place.period_y, place.origin_y)
    across = wave(signal.shape[1], place.period_x, place.origin_x)
    # Real times real twice is half of real times complex.
    half = (signal @ across.real.T) + 1j * (signal @ across.imag.T)
    found: Complex = (down @ half.astype(np.complex64))[DOWN + REACH, ACROSS] * np.conj(PHASES)
    return found


def laid(amplitudes: Complex, size: tuple[int, int], place: Place) -> Numbers:
    """What `tile` gives, repeated over `size` (width, height) for tiles of any sides at any place."""
    table = np.zeros((2 * REACH + 1, REACH + 1), np.complex64)
    table[DOWN + REACH, ACROSS] = amplitudes / np.float32(np.sqrt(COUNT / 2))
    # Conjugates of both, for `wave` gives what a carrier is found by, not the carrier.
    down = both_ways(size[1], place.period_y, place.origin_y)
    across = wave(size[0], place.period_x, place.origin_x)
    summed: Complex = down.T @ np.conj(table)
    return np.asarray(summed.real @ across.real - summed.imag @ across.imag, np.float32)


def wave(length: int, period: float, origin: float) -> Complex:
    """Conjugate carriers along one axis of none to `REACH` periods in a tile, `(REACH + 1, length)`."""
    slowest = np.exp(-2j * np.pi * (np.arange(length) - origin) / period)
    # Powers of the slowest: an exponential for each would take ten times as long.
    powers = np.empty((REACH + 1, length), np.complex128)
    powers[0] = 1
    for number in range(1, REACH + 1):
        np.multiply(powers[number - 1], slowest, out=powers[number])
    return powers.astype(np.complex64)


def both_ways(length: int, period: float, origin: float) -> Complex:
    """The same from minus `REACH` periods on, `(2 * REACH + 1, length)`."""
    forth = wave(length, period, origin)
    return np.concatenate([np.conj(forth[:0:-1]), forth])
