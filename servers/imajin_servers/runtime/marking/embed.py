"""A mark into a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from imajin_servers.runtime.marking.carriers import (
    ACROSS,
    ALIKE_CARRIERS,
    COUNT,
    DOWN,
    KNOWN,
    PHASES,
    Complex,
    Place,
    laid,
    period_for,
    projected,
    symbols,
    tile,
)
from imajin_servers.runtime.marking.view import Numbers, View, mean_around, view

SMALLEST_SIDE = 160
"""Pixels of the shorter side below which a picture holds no mark that would last."""
FLAT = ((256, 1.35), (776, 0.86))
"""Strength in flat places, root mean square in steps of 255, by the picture's shorter side: more pixels need less."""
BUSY, BUSIEST = 0.2, 3.5
"""How strength grows with texture, and how often that of flat places it is at most."""
SLOW, AROUND, BRIGHT_AROUND = 6, 4, 4
"""Radii of what counts as slow, in pixels, and of what texture and brightness are evened out over, in blocks of `BLOCK`."""
BLOCK = 2
DARK, BRIGHT = 0.45, 96.0
"""Strength in the dark, where eyes see more, and the brightness from which it is whole."""
LEAST_PSNR = 42.0
"""Decibels that a marked picture keeps at least."""
NOISE = 0.3
"""What encoders are expected to add to a carrier, relative to its own strength."""
THERE = 0.5
"""Part of a whole mark's strength from which a picture holds that mark already; others are within 0.05 of none."""
HEARD = (
    (3.3, 0.8),
    (3.8, 0.75),
    (4.4, 0.67),
    (5.2, 0.54),
    (6.0, 0.43),
    (7.0, 0.33),
    (8.0, 0.25),
    (9.5, 0.18),
    (11.0, 0.13),
    (13.0, 0.09),
    (16.5, 0.05),
)
"""Part of a carrier that a view keeps, by its wavelength in pixels of the view; measured."""
ALIKE = 1.25
"""How far the sides of an older mark's tiles may be from those of a new one."""


def holds_mark(width: int, height: int) -> bool:
    """Whether a picture of this size is large enough."""
    return min(width, height) >= SMALLEST_SIDE


def place_in(width: int, height: int) -> Place:
    """Where the tiles of a mark lie in a picture of this size that it was put into."""
    period = period_for(width, height)
    return Place(period, period)


def lasts(width: int, height: int, before: Place) -> bool:
    """Whether a whole mark whose tiles lie at `before` in a picture of this size is as good as a new one."""
    return alike(place_in(width, height), before)


def embed(image: Image.Image, content_id: int, before: Place | None = None) -> Image.Image:
    """A copy of `image` (RGB or RGBA, at least `SMALLEST_SIDE` on each side) with `content_id` (32 bits) in its pixels.

    `before` is where an older mark of the same id lies, if the image is made of a marked one. Where that one is as good as a new
    one the image stays as it is; else most of it is taken out. The same arguments give the same pixels.
    """
    plain = image.convert("RGB")
    seen = view(plain)
    strength = strengths(seen, min(image.size))
    place = place_in(*image.size)
    said = symbols(content_id)
    host = heard_before(seen, strength, place)
    if agreement(host, said, passed(seen, place)) > THERE or (
        before is not None and stays(seen, strength, place, before, said)
    ):
        return image.copy()
    pattern = tile(amplitudes(said, host), period_for(*image.size))
    repeats = -(-image.height // pattern.shape[0]), -(-image.width // pattern.shape[1])
    change = np.tile(pattern, repeats)[: image.height, : image.width]
    if before is not None:
        change = change - laid(left_over(seen, strength, before, said) * PHASES, image.size, before)
    if seen.scale < 1:
        strength = np.asarray(Image.fromarray(strength).resize(image.size, Image.Resampling.BILINEAR))
    # Around 128, so that bytes hold it, and Pillow adds and clips it.
    shift = Image.fromarray(np.clip(change * strength + 128.5, 0, 255).astype(np.uint8))
    marked = ImageChops.add(plain, Image.merge("RGB", (shift, shift, shift)), 1, -128)
    if image.mode == "RGBA":
        marked.putalpha(image.getchannel("A"))
    return marked


def strengths(seen: View, side: int) -> Numbers:
    """The root mean square of the mark around each pixel of the view, in steps of 255."""
    sides, flats = zip(*FLAT, strict=True)
    flat = float(np.interp(np.log2(side), np.log2(sides), flats))
    height, width = seen.brightness.shape
    bright = mean_around(blocks(seen.brightness), BRIGHT_AROUND)
    strength = np.minimum(1 + BUSY * texture(seen), BUSIEST) * (DARK + (1 - DARK) * np.minimum(1, bright / BRIGHT))
    strength *= flat
    most = 255 * 10 ** (-LEAST_PSNR / 20)
    strength *= min(1.0, most / float(np.sqrt(np.mean(strength * strength))))
    # It changes so slowly from block to block that nothing in between is needed.
    return np.asarray(Image.fromarray(strength).resize((width, height), Image.Resampling.NEAREST))


def texture(seen: View) -> Numbers:
    """How busy the surroundings of blocks are, in steps of 255. The mean of roots: one edge doesn't make a flat place busy."""
    quick = seen.brightness - mean_around(seen.brightness, SLOW)
    return mean_around(np.sqrt(blocks(np.square(quick))), AROUND)


def blocks(values: Numbers) -> Numbers:
    """The means of blocks."""
    return np.asarray(Image.fromarray(values).reduce(BLOCK))


def heard_before(seen: View, strength: Numbers, place: Place) -> Complex:
    """What the picture says on each carrier already, relative to how loud a mark of `strength` would be."""
    within = place.cut(0, 0, seen.scale, seen.scale)
    gain = float(np.sum(strength / (seen.activity + 1))) * 0.5 / np.sqrt(COUNT / 2)
    relative: Complex = (projected(seen.signal, within) / max(gain, 1e-6)).astype(np.complex64)
    return relative


def agreement(host: Complex, said: Complex, kept: NDArray[np.float64]) -> float:
    """How much of a whole mark that says `said` is in `host`, of which a view keeps `kept`."""
    return float(np.sum((host * np.conj(said)).real * kept) / np.sum(kept * kept))


def alike(place: Place, before: Place) -> bool:
    """Whether older tiles are of about the size of new ones."""
    return all(
        1 / ALIKE < old / new < ALIKE
        for old, new in ((before.period_x, place.period_x), (before.period_y, place.period_y))
    )


def stays(seen: View, strength: Numbers, place: Place, before: Place, said: Complex) -> bool:
    """Whether an older mark is as good as a new one at `place` would be: tiles of about that size, and as loud."""
    return alike(place, before) and agreement(heard_before(seen, strength, before), said, passed(seen, before)) > THERE


def left_over(seen: View, strength: Numbers, before: Place, said: Complex) -> Complex:
    """What is left of an older mark that says `said`: as loud as carriers of like frequency are on average."""
    agreed = (heard_before(seen, strength, before) * np.conj(said)).real
    came = (ALIKE_CARRIERS @ agreed) / (ALIKE_CARRIERS @ passed(seen, before))
    loud: Complex = (np.clip(came, 0, 2) * said).astype(np.complex64)
    return loud


def passed(seen: View, place: Place) -> NDArray[np.float64]:
    """How much of each carrier is in a view, whose medians follow what is slow."""
    within = place.cut(0, 0, seen.scale, seen.scale)
    wavelengths = 1 / np.hypot(ACROSS / within.period_x, DOWN / within.period_y)
    heard, kept = zip(*HEARD, strict=True)
    share: NDArray[np.float64] = np.interp(wavelengths, heard, kept)
    return share


def amplitudes(said: Complex, host: Complex) -> Complex:
    """What each carrier is multiplied with: what it has to say, less a part of what the picture says on it already."""
    host = host.copy()
    # Of a known carrier only the real part is listened to.
    host[:KNOWN] = host[:KNOWN].real
    power = float(np.mean(np.abs(host) ** 2))
    shares = np.linspace(0, 0.99, 100)
    kept = np.sqrt(np.maximum(1 - shares**2 * power, 0))
    share = shares[np.argmax(kept / np.sqrt((1 - shares) ** 2 * power + NOISE))]
    mixed = np.sqrt(max(0.0, 1 - share**2 * power)) * said - share * host
    mixed *= np.sqrt(COUNT / np.sum(np.abs(mixed) ** 2))
    turned: Complex = (mixed * PHASES).astype(np.complex64)
    return turned
