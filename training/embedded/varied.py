"""Compose the varied set: the things of `plain.txt` in every style, recoloured, on colours, in scenes, in pairs and with a
thing in front.

The denoiser comes to it from the plain set, where shapes form; places and sizes stay on the grid of the latents (`SPOTS` in
`compose.py`). What a caption leaves open (style, look, the tint of the background) is decided by the seed: each caption has bands for it
(`seeds.py`). What neither a caption nor a seed decides is left out (mirrored things, a cat's face beside a whole cat): the denoiser draws a
blend of such.
"""

from __future__ import annotations

import argparse
import math
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import captions
import compose
import numpy as np
import plain
import scenes
import seeds
from captions import Description
from PIL import Image
from seeds import FREE, Band
from skimage import color

ASPECTS = ("square", "landscape", "portrait", "square", "landscape", "square")
CAPTIONS = 4
KINDS = {"single": 0.36, "colour": 0.16, "pair": 0.2, "front": 0.12, "scene": 0.16}
STYLES = {"noto": 0.25, "3d": 0.4, "gradient": 0.15, "flat": 0.2}
UNPAINTABLE = {"people", "faces", "fantasy"}
TINT = 9.0
"""Colourfulness (CIE Lab) of the tint of a background, one standard deviation."""
MEN_AND_WOMEN = {"doctor", "chef", "firefighter", "police officer", "superhero"}
Composed = tuple[Image.Image, Description, list[str]]
"""A picture, what it shows, and captions that it has besides those that follow from it."""
PAIRED = ("animals", "animals", "food", "food", "travel", "plants", "people", "objects", "faces")


@dataclass
class Drawn:
    """One picture (H, W, 3) uint8, its captions, and each caption's bands `(len(seeds.CHOICES), 2)`."""

    picture: np.ndarray
    captions: list[str]
    bands: list[list[Band]]


@dataclass
class Choices:
    """What is chosen for one picture besides what its captions say."""

    style: str
    tint: tuple[float, float]
    """Of the background where no colour is named, in standard deviations."""
    looks: tuple[int, int] = (0, 1)
    """The first thing's sprite, among how many."""

    def bands(self, caption: str, described: Description) -> list[Band]:
        """The noise that goes with `caption`."""
        number = list(STYLES).index(self.style)
        style = FREE if captions.says_style(caption) else seeds.band(number, list(STYLES.values()))
        at, among = self.looks
        look = (
            FREE if among == 1 or says_look(caption, described.things[0].concept.name) else seeds.band(at, [1] * among)
        )
        a, b = (
            (FREE, FREE) if described.background or described.scene else [(quantile(u), quantile(u)) for u in self.tint]
        )
        return [style, look, a, b]


def quantile(u: float) -> float:
    """Of a standard normal deviate."""
    return 0.5 * (1 + math.erf(u / math.sqrt(2)))


def says_look(caption: str, name: str) -> bool:
    """Whether a caption says which of several sprites of a thing is meant."""
    return " skin" in caption or (
        name in MEN_AND_WOMEN and bool({"woman", "man"} & set(caption.replace(",", "").split()))
    )


def tinted(w: int, h: int, tint: tuple[float, float]) -> Image.Image:
    """A pale background: near white for small tints, smoothly more colourful for larger ones."""
    a, b = (TINT * max(-2.2, min(2.2, u)) for u in tint)
    light = 98 - 0.3 * math.hypot(a, b)
    lab = np.array([[[light, a, b]]], np.float64)
    return Image.new("RGB", (w, h), tuple(int(c) for c in (color.lab2rgb(lab)[0, 0] * 255).round()))


class Varied:
    """Draws pictures of the things of `plain.txt`. `rng` decides everything."""

    def __init__(self, composer: compose.Composer) -> None:
        self.composer = composer
        self.names = [name for name in composer.names if name in plain.names()]
        self.by_group = {
            group: [name for name in names if name in self.names] for group, names in composer.by_group.items()
        }
        self.labels = {name: composer.records[plain.first(composer, name)]["label"] for name in self.names}
        self.paintable = [n for n in self.names if composer.known[n].group not in UNPAINTABLE | compose.SKY_GROUPS]

    def known(self, i: int) -> bool:
        """Whether a sprite shows its thing as the plain set does: a cat's face isn't drawn where a cat is, they would blend."""
        record = self.composer.records[i]
        return record["concept"] in MEN_AND_WOMEN or record["label"] == self.labels[record["concept"]]

    def sprite(self, rng: random.Random, name: str, chosen: Choices) -> tuple[np.ndarray, int]:
        """A sprite of `name` in the chosen style, and its number. Notes which of the looks it is."""
        fitting = [i for i in self.composer.index[name, chosen.style] if self.known(i)]
        at = rng.randrange(len(fitting))
        chosen.looks = at, len(fitting)
        return np.asarray(self.composer.sprites[fitting[at]]), fitting[at]

    def background(
        self, rng: random.Random, w: int, h: int, coloured: float, chosen: Choices
    ) -> tuple[Image.Image, str]:
        """One colour and its name, or a tint without one."""
        if rng.random() >= coloured:
            return tinted(w, h, chosen.tint), ""
        colour = rng.choices(list(scenes.COLOURS), [3 if c == "white" else 1 for c in scenes.COLOURS])[0]
        return Image.fromarray(scenes.plain(rng, w, h, colour)) if colour != "white" else Image.new(
            "RGB", (w, h), "white"
        ), colour

    def draw(self, rng: random.Random, name: str, aspect: str) -> Drawn:
        """One picture with `name` in it."""
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "colour" and name not in self.paintable:
            kind = "pair"
        if kind == "front" and self.composer.known[name].group not in compose.ANIMATE:
            kind = "single"
        chosen = Choices(rng.choices(list(STYLES), list(STYLES.values()))[0], (rng.gauss(0, 1), rng.gauss(0, 1)))
        picture, described, bare = getattr(self, kind)(rng, name, aspect, chosen)
        said = [captions.caption(described, rng, STYLES) for _ in range(CAPTIONS)]
        said[: len(bare)] = bare
        return Drawn(np.asarray(picture), said, [chosen.bands(caption, described) for caption in said])

    def single(self, rng: random.Random, name: str, aspect: str, chosen: Choices) -> Composed:
        """One thing on a background."""
        sprite, i = self.sprite(rng, name, chosen)
        canvas, back = self.background(rng, *compose.ASPECTS[aspect], 0.45, chosen)
        compose.paste(canvas, sprite, *compose.SPOTS[aspect]["centre"])
        bare = [f"{captions.article(name)} on a {back} background"] if back else [name, captions.article(name)]
        return canvas, Description((self.composer.thing(i),), chosen.style, back), bare

    def colour(self, rng: random.Random, name: str, aspect: str, chosen: Choices) -> Composed:
        """One thing, painted."""
        colour = rng.choice(list(scenes.COLOURS))
        sprite, i = self.sprite(rng, name, chosen)
        canvas, back = self.background(rng, *compose.ASPECTS[aspect], 0.4, chosen)
        compose.paste(canvas, compose.recolour(sprite, colour), *compose.SPOTS[aspect]["centre"])
        where = f" on a {back} background" if back else ""
        bare = [f"{captions.article(f'{colour} {name}')}{where}"]
        return canvas, Description((self.composer.thing(i, colour),), chosen.style, back), bare

    def pair(self, rng: random.Random, name: str, aspect: str, chosen: Choices) -> Composed:
        """Two things side by side."""
        other = rng.choice([n for n in self.by_group[rng.choice(PAIRED)] if n != name])
        second, j = self.sprite(rng, other, chosen)
        sprite, i = self.sprite(rng, name, chosen)
        canvas, back = self.background(rng, *compose.ASPECTS[aspect], 0.3, chosen)
        compose.paste(canvas, sprite, *compose.SPOTS[aspect]["first"])
        compose.paste(canvas, second, *compose.SPOTS[aspect]["second"])
        bare = [] if back else [f"{captions.article(name)} and {captions.article(other)}", f"{name} and {other}"]
        return canvas, Description((self.composer.thing(i), self.composer.thing(j)), chosen.style, back), bare

    def front(self, rng: random.Random, name: str, aspect: str, chosen: Choices) -> Composed:
        """A small thing in front of an animal or a person."""
        other = rng.choice(self.by_group[rng.choices(list(captions.ACTIONS), (6, 2, 2, 1))[0]])
        second, j = self.sprite(rng, other, chosen)
        sprite, i = self.sprite(rng, name, chosen)
        canvas, back = self.background(rng, *compose.ASPECTS[aspect], 0.35, chosen)
        compose.paste(canvas, sprite, *compose.SPOTS[aspect]["behind"])
        compose.paste(canvas, second, *compose.SPOTS[aspect]["front"])
        described = Description((self.composer.thing(i), self.composer.thing(j)), chosen.style, back, in_front=True)
        return canvas, described, []

    def scene(self, rng: random.Random, name: str, aspect: str, chosen: Choices) -> Composed:
        """One thing in a drawn place."""
        w, h = compose.ASPECTS[aspect]
        scene, time = rng.choice(list(scenes.SCENES)), rng.choices(list(scenes.SKIES), (3, 2, 1.4))[0]
        sprite, i = self.sprite(rng, name, chosen)
        canvas = Image.fromarray(scenes.render(scenes.SCENES[scene](rng, w, h, time), w, h))
        sky = self.composer.known[name].group in compose.SKY_GROUPS
        compose.paste(canvas, sprite, *compose.SPOTS[aspect]["centre" if sky else "scene"])
        return canvas, Description((self.composer.thing(i),), chosen.style, "", scene, time), []


def shard(number: int, packages: Path, data: Path, out: Path, size: int) -> str:
    """Write one shard of one aspect: every thing about equally often. Returns a line to print."""
    rng = random.Random(5000 + number)
    varied = Varied(compose.open_composer(packages, data))
    aspect = ASPECTS[number % len(ASPECTS)]
    names: list[str] = []
    while len(names) < size:
        names += rng.sample(varied.names, len(varied.names))
    drawn = [varied.draw(rng, name, aspect) for name in names[:size]]
    file = out / f"shard-{number:03d}.npz"
    partial_file = file.with_suffix(".tmp.npz")
    np.savez(
        partial_file,
        pictures=np.stack([d.picture for d in drawn]),
        captions=np.array([d.captions for d in drawn]),
        bands=np.array([d.bands for d in drawn], np.float32),
    )
    partial_file.rename(file)
    return f"{file.name}: {size} pictures, {aspect}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="where the sprites are")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--size", type=int, default=992, help="pictures in a shard")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    todo = [n for n in range(args.shards) if not (args.out / f"shard-{n:03d}.npz").exists()]
    with ProcessPoolExecutor(args.workers) as pool:
        for line in pool.map(
            partial(shard, packages=args.packages, data=args.data, out=args.out, size=args.size), todo
        ):
            print(line, flush=True)


if __name__ == "__main__":
    main()
