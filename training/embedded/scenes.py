"""Backgrounds drawn by rule: plain colours, gradients and simple scenes as SVG, rendered at any size.

A scene takes a random generator and a size in pixels and returns SVG elements; `render` turns them into a
picture (H, W, 3) uint8.
"""

from __future__ import annotations

import io
import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import resvg_py
from PIL import Image

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 52, 48),
    "orange": (246, 142, 40),
    "yellow": (252, 214, 62),
    "green": (62, 172, 84),
    "turquoise": (52, 190, 190),
    "blue": (48, 112, 226),
    "purple": (142, 84, 206),
    "pink": (246, 146, 190),
    "brown": (142, 92, 56),
    "black": (28, 28, 32),
    "white": (255, 255, 255),
    "gray": (150, 154, 160),
}
SKIES = {
    "day": (("#4fa8ee", "#cfeafc"), ("#63b6f2", "#e6f4fd"), ("#3f93e0", "#b4dcf8")),
    "sunset": (("#6a3d8f", "#ff9a4a"), ("#f0605a", "#ffd27a"), ("#3e3a82", "#f98a5c")),
    "night": (("#0b1030", "#2a3470"), ("#070b22", "#1d2a5c"), ("#141a40", "#39407e")),
}
TIME_PHRASES = {
    "day": ("", "", "on a sunny day"),
    "sunset": ("at sunset", "at sunset", "at dawn", "at golden hour"),
    "night": ("at night", "under the stars"),
}
Scene = Callable[[random.Random, int, int, str], str]


def hexa(rgb: tuple[float, float, float]) -> str:
    """`#rrggbb` of an (r, g, b) triple in 0..255."""
    return "#" + "".join(f"{max(0, min(255, round(c))):02x}" for c in rgb)


def jitter(rng: random.Random, rgb: tuple[int, int, int], amount: int = 14) -> tuple[float, float, float]:
    """A colour near another."""
    r, g, b = (c + rng.randint(-amount, amount) for c in rgb)
    return r, g, b


def shade(colour: str, time: str) -> str:
    """What a daylight colour looks like at another time."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    if time == "night":
        return hexa((r * 0.32, g * 0.34, b * 0.5 + 18))
    if time == "sunset":
        return hexa((r * 0.82 + 34, g * 0.7 + 10, b * 0.68 + 14))
    return colour


def vertical(w: int, h: int, top: str, bottom: str, name: str = "g") -> str:
    """A top-to-bottom gradient over the whole picture."""
    stops = f'<stop offset="0" stop-color="{top}"/><stop offset="1" stop-color="{bottom}"/>'
    return f'<linearGradient id="{name}" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient><rect width="{w}" height="{h}" fill="url(#{name})"/>'


def circle(x: float, y: float, r: float, fill: str, opacity: float = 1) -> str:
    """A disc."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}" opacity="{opacity:.2f}"/>'


def ellipse(x: float, y: float, rx: float, ry: float, fill: str, opacity: float = 1) -> str:
    """An ellipse."""
    return f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="{fill}" opacity="{opacity:.2f}"/>'


def rect(x: float, y: float, w: float, h: float, fill: str) -> str:
    """A rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}"/>'


def hill(rng: random.Random, w: int, h: int, y: float, height: float, fill: str) -> str:
    """A smooth ridge from edge to edge, filled down to the bottom."""
    points = [(w * i / 4, y + rng.uniform(-height, height)) for i in range(5)]
    d = f"M0 {h} L0 {points[0][1]:.0f} "
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        m = (x0 + x1) / 2
        d += f"C{m:.0f} {y0:.0f} {m:.0f} {y1:.0f} {x1:.0f} {y1:.0f} "
    return f'<path d="{d}L{w} {h}Z" fill="{fill}"/>'


def sky(rng: random.Random, w: int, h: int, time: str) -> str:
    """Sky with sun or clouds, a low sun, or stars and a moon."""
    top, bottom = rng.choice(SKIES[time])
    out = vertical(w, h, top, bottom)
    m = min(w, h)
    x = rng.uniform(0.12, 0.88) * w
    if time == "night":
        out += "".join(
            circle(
                rng.uniform(0, w),
                rng.uniform(0, h * 0.7),
                rng.uniform(0.6, 1.9) * m / 256,
                "#ffffff",
                rng.uniform(0.5, 1),
            )
            for _ in range(34)
        )
        out += circle(x, h * 0.16, m * 0.075, "#fdf6d8")
    elif time == "sunset":
        out += circle(x, h * rng.uniform(0.34, 0.5), m * 0.17, "#ffe9a8", 0.45) + circle(
            x, h * 0.42, m * 0.12, "#fff0b8"
        )
    else:
        if rng.random() < 0.5:
            out += circle(x, h * 0.16, m * 0.085, "#ffe27a")
        for _ in range(rng.randint(1, 3)):
            cx, cy, r = rng.uniform(0, w), h * rng.uniform(0.08, 0.34), m * rng.uniform(0.05, 0.09)
            out += "".join(
                ellipse(cx + dx * r, cy + dy * r, r * s, r * s * 0.72, "#ffffff", 0.9)
                for dx, dy, s in ((-1, 0.25, 0.8), (0, 0, 1), (1.05, 0.3, 0.85))
            )
    return out


def beach(rng: random.Random, w: int, h: int, time: str) -> str:
    """Sky, sea and sand."""
    sea, sand = h * rng.uniform(0.48, 0.56), h * rng.uniform(0.68, 0.76)
    out = sky(rng, w, h, time) + rect(0, sea, w, h - sea, shade("#2f9ec4", time))
    out += "".join(
        rect(rng.uniform(0, w), rng.uniform(sea, sand), w * 0.14, 2, shade("#bfe8f2", time)) for _ in range(8)
    )
    return out + hill(rng, w, h, sand, h * 0.02, shade("#f0dba6", time))


def meadow(rng: random.Random, w: int, h: int, time: str) -> str:
    """Green hills with flowers."""
    out = (
        sky(rng, w, h, time)
        + hill(rng, w, h, h * 0.56, h * 0.06, shade("#8ccb62", time))
        + hill(rng, w, h, h * 0.7, h * 0.04, shade("#66b34a", time))
    )
    for _ in range(16):
        fill = rng.choice(("#ffffff", "#ffd84a", "#ff7d9c", "#b48cff"))
        out += circle(rng.uniform(0, w), rng.uniform(h * 0.76, h), h * 0.011, shade(fill, time))
    return out


def snow(rng: random.Random, w: int, h: int, time: str) -> str:
    """Snowy hills and falling flakes."""
    out = (
        sky(rng, w, h, time)
        + hill(rng, w, h, h * 0.58, h * 0.07, shade("#dcebf7", time))
        + hill(rng, w, h, h * 0.72, h * 0.04, shade("#f7fbff", time))
    )
    return out + "".join(
        circle(rng.uniform(0, w), rng.uniform(0, h), rng.uniform(1.4, 3.4) * h / 256, "#ffffff", 0.9) for _ in range(36)
    )


def city(rng: random.Random, w: int, h: int, time: str) -> str:
    """A skyline behind a street."""
    out, x = sky(rng, w, h, time), 0.0
    while x < w:
        bw, bh = h * rng.uniform(0.1, 0.2), h * rng.uniform(0.25, 0.6)
        wall = shade(rng.choice(("#8b97ac", "#a58f86", "#74869e", "#b5a794")), time)
        out += rect(x, h * 0.8 - bh, bw, bh, wall)
        lit = "#ffe08a" if time != "day" else "#d8e8f2"
        rows, cols = max(1, int(bh / (h * 0.07))), max(1, int(bw / (h * 0.055)))
        for r in range(rows):
            for c in range(cols):
                if rng.random() < 0.7:
                    out += rect(x + h * 0.018 + c * h * 0.05, h * 0.82 - bh + r * h * 0.068, h * 0.024, h * 0.034, lit)
        x += bw + h * rng.uniform(0, 0.02)
    return (
        out
        + rect(0, h * 0.8, w, h * 0.2, shade("#6f747c", time))
        + rect(0, h * 0.89, w, h * 0.012, shade("#e8e2c8", time))
    )


def forest(rng: random.Random, w: int, h: int, time: str) -> str:
    """Fir trees on a green floor."""
    out = sky(rng, w, h, time) + hill(rng, w, h, h * 0.62, h * 0.03, shade("#4f8f4a", time))
    for i in range(int(11 * w / h)):
        x, base, th = rng.uniform(0, w), h * rng.uniform(0.64, 0.74), h * rng.uniform(0.32, 0.56)
        green = shade(rng.choice(("#2f7d4a", "#3a8c50", "#26683f")), time)
        out += rect(x - h * 0.012, base - h * 0.04, h * 0.024, h * 0.07, shade("#7a5234", time))
        for k in range(3):
            y0, half = base - th * (0.08 + 0.27 * k), th * (0.26 - 0.055 * k)
            out += f'<path d="M{x - half:.0f} {y0:.0f} L{x + half:.0f} {y0:.0f} L{x:.0f} {y0 - th * 0.4:.0f}Z" fill="{green}"/>'
        if i % 5 == 4:
            out += hill(rng, w, h, h * 0.7, h * 0.02, shade("#5ea04e", time))
    return out + hill(rng, w, h, h * 0.74, h * 0.02, shade("#6bb057", time))


def underwater(rng: random.Random, w: int, h: int, time: str) -> str:
    """Blue water, sand, weeds and bubbles."""
    out = vertical(w, h, "#36b7dc", "#0d4f8f") + hill(rng, w, h, h * 0.86, h * 0.03, "#d6c58c")
    for _ in range(int(8 * w / h)):
        x, y, s = rng.uniform(0, w), h * 0.9, h * rng.uniform(0.12, 0.26)
        d = f"M{x:.0f} {y:.0f} q{-s * 0.25:.0f} {-s * 0.35:.0f} 0 {-s * 0.5:.0f} t0 {-s * 0.5:.0f}"
        out += f'<path d="{d}" stroke="{rng.choice(("#2e9e6b", "#3cb371", "#d9646b"))}" stroke-width="{h * 0.022:.1f}" fill="none" stroke-linecap="round"/>'
    return out + "".join(
        circle(rng.uniform(0, w), rng.uniform(0, h * 0.8), h * rng.uniform(0.006, 0.02), "#d8f4ff", 0.55)
        for _ in range(22)
    )


def desert(rng: random.Random, w: int, h: int, time: str) -> str:
    """Dunes."""
    out = sky(rng, w, h, time) + hill(rng, w, h, h * 0.56, h * 0.06, shade("#e6bd76", time))
    return (
        out
        + hill(rng, w, h, h * 0.66, h * 0.05, shade("#dba95c", time))
        + hill(rng, w, h, h * 0.8, h * 0.04, shade("#cf9848", time))
    )


def mountains(rng: random.Random, w: int, h: int, time: str) -> str:
    """Snow-capped peaks over a green foot."""
    out = sky(rng, w, h, time)
    for _ in range(max(2, round(3 * w / h))):
        x, y, half = rng.uniform(0, w), h * rng.uniform(0.16, 0.36), h * rng.uniform(0.3, 0.46)
        base, cap = h * 0.74, 0.28
        grey = shade(rng.choice(("#7d8aa3", "#8d97ab", "#6c7a96")), time)
        out += f'<path d="M{x - half:.0f} {base:.0f} L{x:.0f} {y:.0f} L{x + half:.0f} {base:.0f}Z" fill="{grey}"/>'
        cy, ch = y + (base - y) * cap, half * cap
        out += f'<path d="M{x - ch:.0f} {cy:.0f} L{x:.0f} {y:.0f} L{x + ch:.0f} {cy:.0f} L{x:.0f} {cy - h * 0.03:.0f}Z" fill="{shade("#ffffff", time)}"/>'
    return out + hill(rng, w, h, h * 0.72, h * 0.03, shade("#6fae5a", time))


def space(rng: random.Random, w: int, h: int, time: str) -> str:
    """Dark sky with stars and one planet."""
    out = vertical(w, h, rng.choice(("#0a0c24", "#120a2e")), rng.choice(("#241a52", "#101c48")))
    out += "".join(
        circle(
            rng.uniform(0, w),
            rng.uniform(0, h),
            rng.uniform(0.6, 2.1) * h / 256,
            "#ffffff",
            rng.uniform(0.5, 1),
        )
        for _ in range(60)
    )
    x, y, r = rng.choice((0.14, 0.86)) * w, h * rng.uniform(0.14, 0.3), h * rng.uniform(0.07, 0.12)
    planet = rng.choice(("#e0845a", "#7ac0d8", "#c6a0e8", "#e8c66a"))
    return out + circle(x, y, r, planet) + circle(x - r * 0.3, y - r * 0.2, r * 0.24, "#ffffff", 0.25)


def room(rng: random.Random, w: int, h: int, time: str) -> str:
    """A wall with a window, and a floor."""
    wall = rng.choice(("#e9dcc6", "#cfe0e6", "#dcd3e8", "#d9e6d0"))
    out = rect(0, 0, w, h, wall) + rect(0, h * 0.76, w, h * 0.24, rng.choice(("#b98a5c", "#a9784c", "#c49a6c")))
    out += rect(0, h * 0.74, w, h * 0.02, "#ffffff")
    x, s = rng.choice((0.06, 0.7)) * w, h * 0.26
    top, _ = rng.choice(SKIES[time])
    return (
        out
        + rect(x, h * 0.14, s, s, "#ffffff")
        + rect(x + s * 0.07, h * 0.14 + s * 0.07, s * 0.4, s * 0.86, top)
        + rect(x + s * 0.53, h * 0.14 + s * 0.07, s * 0.4, s * 0.86, top)
    )


SCENES: dict[str, Scene] = {
    "beach": beach, "meadow": meadow, "snow": snow, "city": city, "forest": forest, "underwater": underwater,
    "desert": desert, "mountains": mountains, "space": space, "room": room, "sky": sky,
}  # fmt: skip
PHRASES = {
    "beach": ("on a beach", "at the beach", "on the beach", "by the sea"),
    "meadow": ("in a meadow", "in a green field", "in a garden", "in a park", "on the grass"),
    "snow": ("in the snow", "in a snowy landscape", "in winter"),
    "city": ("in the city", "in a city street", "in front of a skyline", "downtown"),
    "forest": ("in the forest", "in the woods", "among trees"),
    "underwater": ("under the sea", "underwater", "in the ocean"),
    "desert": ("in the desert", "on sand dunes"),
    "mountains": ("in the mountains", "in front of mountains"),
    "space": ("in space", "in outer space", "in front of a galaxy"),
    "room": ("in a room", "at home", "indoors"),
    "sky": ("in the sky", "against the sky"),
}
TIMELESS = {"underwater", "space"}


def render(body: str, w: int, h: int) -> np.ndarray:
    """Rasterise SVG elements. Returns (H, W, 3) uint8."""
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}">{body}</svg>'
    return np.asarray(Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGB"))


def plain(rng: random.Random, w: int, h: int, colour: str | None) -> np.ndarray:
    """A plain or softly graded background; `colour` names it, None is white or a pale tint. Returns (H, W, 3)
    uint8.
    """
    if colour is None:
        base = (
            (255, 255, 255)
            if rng.random() < 0.45
            else tuple(round(c * 0.28 + 255 * 0.72) for c in rng.choice(list(COLOURS.values())))
        )
        a = b = np.asarray(base, np.float32)
    else:
        a = np.asarray(jitter(rng, COLOURS[colour]), np.float32)
        b = a
    if rng.random() < 0.5:
        b = a * 0.86 + (12 if colour == "black" else 0)
    angle = rng.uniform(0, math.tau)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    t = ((x / w - 0.5) * math.cos(angle) + (y / h - 0.5) * math.sin(angle) + 0.7) / 1.4
    return (a + (b - a) * t.clip(0, 1)[..., None]).clip(0, 255).astype(np.uint8)
