"""How to generate: style, aspect, size, steps, guidance and strictness, decided by rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from imajin_servers.prompt.classification.words import phrase
from imajin_servers.prompt.composition.brief import Brief
from imajin_servers.prompt.composition.catalogue import looks, styles

# Sizes that diffusion models of the SDXL class were trained on, by aspect; multiples of 64.
SIZES = {"landscape": (1344, 768), "square": (1024, 1024), "portrait": (768, 1344)}
SQUARE_WITHIN = 1.2
"""A size whose longer side is less than this many times the shorter one counts as square."""
WRITTEN = re.compile(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*")


@dataclass(frozen=True)
class Generation:
    """How to generate a picture. `style` and `aspect` and `moderation` are the lower-case names of the contract's enums."""

    style: str
    aspect: str
    size: tuple[int, int]
    steps: int
    guidance_scale: float
    seed: int | None
    culture: str
    moderation: str


def generation_of(
    brief: Brief, description: str, sizes: Sequence[str], seed: int | None, known: Mapping[str, tuple[int, int]]
) -> Generation:
    """Decides for a brief. `known` are the named sizes in pixels; a name that it lacks decides nothing."""
    aspect = aspect_of_sizes(sizes, known) or aspect_of_words(phrase(description), brief.kind.name)
    style = brief.medium.model
    return Generation(
        style=style,
        aspect=aspect,
        size=SIZES[aspect],
        steps=int(styles()[style]["steps"]),
        guidance_scale=styles()[style]["guidance_scale"],
        seed=brief.subject.seed if brief.subject.seed is not None else seed,
        culture=brief.culture,
        moderation=brief.audience.level if brief.audience else "standard",
    )


def aspect_of_sizes(sizes: Sequence[str], known: Mapping[str, tuple[int, int]]) -> str:
    """The aspect of most of the area that is asked for; empty when no size is understood."""
    area = {"landscape": 0.0, "square": 0.0, "portrait": 0.0}
    for name in sizes:
        written = WRITTEN.fullmatch(name)
        size = (int(written[1]), int(written[2])) if written else known.get(name.strip().lower())
        if size is not None and min(size) > 0:
            # The square root, so that one wide banner doesn't outvote the many small ones.
            area[aspect_of(*size)] += sqrt(size[0] * size[1])
    best = max(area, key=lambda aspect: area[aspect])
    return best if area[best] else ""


def aspect_of(width: int, height: int) -> str:
    """The aspect of a size."""
    if max(width, height) < SQUARE_WITHIN * min(width, height):
        return "square"
    return "landscape" if width > height else "portrait"


def aspect_of_words(said: tuple[str, ...], kind: str) -> str:
    """The aspect that the words ask for, else the one that suits the kind of subject."""
    for aspect, words in looks().orientation.items():
        if words.met(said):
            return aspect
    return "landscape" if kind == "landscape" else "square"
