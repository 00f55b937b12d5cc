"""Colours that a file states by numbers in place of a profile: primaries and a curve, as PNG and AVIF do.

Code points are those of ITU-T H.273 ("CICP").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""x and y of a chromaticity."""
D65 = (0.3127, 0.3290)
USUAL = 1 / 2.2
"""The gamma that nearly all PNG files state that state one: sRGB's curve is meant."""
SANE = (0.1, 2.0)
SRGB_CURVES = {1, 2, 6, 13, 14, 15}
"""Those of video are shown as sRGB's by browsers, though their standards say otherwise; 2 is unspecified."""
GAMMAS = {4: 1 / 2.2, 5: 1 / 2.8, 8: 1.0}


@dataclass(frozen=True)
class Colours:
    """What numbers mean: where white, red, green and blue lie, and how light becomes a sample."""

    white: Point
    red: Point
    green: Point
    blue: Point
    gamma: float | None = None
    """A sample is light to this power; None for sRGB's curve."""

    @property
    def sound(self) -> bool:
        """Whether a matrix can be made of it."""
        corners = (self.red, self.green, self.blue)
        (rx, ry), (gx, gy), (bx, by) = corners
        inside = all(0 <= x < 1 and 0 < y <= 1 for x, y in (*corners, self.white))
        return inside and 0.1 < self.white[0] < 0.6 and abs((gx - rx) * (by - ry) - (bx - rx) * (gy - ry)) > 0.01


SRGB = Colours(D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
PRIMARIES = {
    1: SRGB,
    4: Colours((0.310, 0.316), (0.670, 0.330), (0.210, 0.710), (0.140, 0.080)),
    5: Colours(D65, (0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: Colours(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: Colours(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: Colours(D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: Colours((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: Colours(D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: Colours(D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}


def of_codes(primaries: int, transfer: int) -> Colours | None:
    """Colours by their code points; None where nothing is said, or what needs tone mapping (PQ, HLG)."""
    known = PRIMARIES.get(primaries, SRGB if primaries == 2 else None)
    if known is None or transfer not in SRGB_CURVES | GAMMAS.keys():
        return None
    return Colours(known.white, known.red, known.green, known.blue, GAMMAS.get(transfer))


def of_gamma(gamma: int, chromaticities: Sequence[int] | None) -> Colours | None:
    """Colours by what PNG's gAMA and cHRM say, both in hundred-thousandths; None where it makes no sense."""
    power = gamma / 100_000
    if not SANE[0] <= power <= SANE[1]:
        return None
    points = [(x / 100_000, y / 100_000) for x, y in zip(*[iter(chromaticities or ())] * 2, strict=True)]
    white, red, green, blue = points or (SRGB.white, SRGB.red, SRGB.green, SRGB.blue)
    stated = Colours(white, red, green, blue, None if abs(power / USUAL - 1) < 0.02 else power)
    return stated if stated.sound else of_gamma(gamma, None)
