"""A mark into a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from imajin_servers.runtime.marking.carriers import COUNT, KNOWN, PHASES, Complex, period_for, projected, symbols, tile
from imajin_servers.runtime.marking.view import NEAR, Numbers, View, mean_around, view

SMALLEST_SIDE = 160
"""Pixels of the shorter side below which a picture holds no mark that would last."""
FLAT = ((256, 1.3), (776, 0.8))
"""Strength in flat places, root mean square in steps of 255, by the picture's shorter side: more pixels need less."""
BUSY, BUSIEST = 0.2, 3.5
"""How strength grows with activity, and how often that of flat places it is at most."""
DARK, BRIGHT = 0.45, 96.0
"""Strength in the dark, where eyes see more, and the brightness from which it is whole."""
LEAST_PSNR = 41.0
"""Decibels that a marked picture keeps at least."""
NOISE = 0.3
"""What encoders are expected to add to a carrier, relative to its own strength."""
THERE = 0.6
"""Part of a whole mark's strength from which a picture holds that mark already; others are within 0.1 of none."""


def holds_mark(width: int, height: int) -> bool:
    """Whether a picture of this size is large enough."""
    return min(width, height) >= SMALLEST_SIDE


def embed(image: Image.Image, content_id: int) -> Image.Image:
    """A copy of `image` (RGB or RGBA, at least `SMALLEST_SIDE` on each side) with `content_id` (32 bits) in its pixels.

    The same image and id give the same pixels. An image that holds this very mark, put in at this size, stays as it is.
    """
    plain = image.convert("RGB")
    seen = view(plain)
    strength = strengths(seen, min(image.size))
    period = period_for(*image.size)
    said = symbols(content_id)
    host = heard_before(seen, strength, period)
    if float(np.mean((host * np.conj(said)).real)) > THERE:
        return image.copy()
    pattern = tile(amplitudes(said, host), period)
    if seen.scale < 1:
        strength = np.asarray(Image.fromarray(strength).resize(image.size, Image.Resampling.BILINEAR))
    repeats = -(-image.height // period), -(-image.width // period)
    change = np.tile(pattern, repeats)[: image.height, : image.width] * strength
    # Around 128, so that bytes hold it, and Pillow adds and clips it.
    shift = Image.fromarray((change + 128.5).astype(np.uint8))
    marked = ImageChops.add(plain, Image.merge("RGB", (shift, shift, shift)), 1, -128)
    if image.mode == "RGBA":
        marked.putalpha(image.getchannel("A"))
    return marked


def strengths(seen: View, side: int) -> Numbers:
    """The root mean square of the mark around each pixel of the view, in steps of 255."""
    sides, flats = zip(*FLAT, strict=True)
    flat = float(np.interp(np.log2(side), np.log2(sides), flats))
    tone = DARK + (1 - DARK) * np.minimum(1, mean_around(seen.brightness, NEAR) / BRIGHT)
    strength = flat * tone * np.minimum(1 + BUSY * seen.activity, BUSIEST)
    most = 255 * 10 ** (-LEAST_PSNR / 20)
    strength *= min(1.0, most / float(np.sqrt(np.mean(strength * strength))))
    limited: Numbers = strength.astype(np.float32)
    return limited


def heard_before(seen: View, strength: Numbers, period: int) -> Complex:
    """What the picture says on each carrier already, relative to how loud a mark of `strength` would be."""
    origin = 0.5 * seen.scale - 0.5
    step = period * seen.scale
    heard = projected(seen.signal, step, step, origin, origin) * np.conj(PHASES)
    gain = float(np.sum(strength / (seen.activity + 1))) * 0.5 / np.sqrt(COUNT / 2)
    relative: Complex = (heard / max(gain, 1e-6)).astype(np.complex64)
    return relative


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
