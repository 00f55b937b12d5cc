"""Compose the varied set: the things of `plain.txt` in every style, recoloured, on colours, in scenes, in pairs and with a
thing in front.

The denoiser comes to it from the plain set, where shapes form; places and sizes stay on the grid of the latents (`SPOTS` in
`compose.py`). On white, half of the captions name nothing but the thing: that is what lets seeds differ. What differs in shape is always
named (the noto style) or left out (mirrored things, a cat's face beside a whole cat): the denoiser draws a blend of such long before it chooses.
"""

from __future__ import annotations

import argparse
import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import captions
import compose
import numpy as np
import plain
import scenes
from captions import Description
from PIL import Image

ASPECTS = ("square", "landscape", "portrait", "square", "landscape", "square")
CAPTIONS = 4
KINDS = {"single": 0.36, "colour": 0.16, "pair": 0.2, "front": 0.12, "scene": 0.16}
STYLES = {"3d": 0.45, "noto": 0.25, "flat": 0.15, "gradient": 0.15}
UNPAINTABLE = {"people", "faces", "fantasy"}
OTHER_SHAPES = "noto"
MEN_AND_WOMEN = {"doctor", "chef", "firefighter", "police officer", "superhero"}
PAIRED = ("animals", "animals", "food", "food", "travel", "plants", "people", "objects", "faces")


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

    def sprite(self, rng: random.Random, name: str, style: str) -> tuple[np.ndarray, int]:
        """A sprite of `name` in `style`, and its number."""
        i = rng.choice([i for i in self.composer.index[name, style] if self.known(i)])
        return np.asarray(self.composer.sprites[i]), i

    def background(self, rng: random.Random, w: int, h: int, coloured: float) -> tuple[Image.Image, str]:
        """White or one colour, and the colour's name where it isn't white."""
        if rng.random() >= coloured:
            return Image.new("RGB", (w, h), "white"), ""
        colour = rng.choice(list(scenes.COLOURS))
        return Image.fromarray(scenes.plain(rng, w, h, colour)), colour

    def draw(self, rng: random.Random, name: str, aspect: str) -> tuple[np.ndarray, list[str]]:
        """One picture (H, W, 3) uint8 with `name` in it, and its captions."""
        w, h = compose.ASPECTS[aspect]
        spots = compose.SPOTS[aspect]
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        style = rng.choices(list(STYLES), list(STYLES.values()))[0]
        if kind == "colour" and name not in self.paintable:
            kind = "pair"
        if kind == "front" and self.composer.known[name].group not in compose.ANIMATE:
            kind = "single"
        sprite, i = self.sprite(rng, name, style)
        style, thing = self.composer.records[i]["style"], self.composer.thing(i)
        if kind == "scene":
            scene, time = rng.choice(list(scenes.SCENES)), rng.choices(list(scenes.SKIES), (3, 2, 1.4))[0]
            canvas = Image.fromarray(scenes.render(scenes.SCENES[scene](rng, w, h, time), w, h))
            sky = self.composer.known[name].group in compose.SKY_GROUPS
            compose.paste(canvas, sprite, *spots["centre" if sky else "scene"])
            what = Description((thing,), style, "", scene, time)
            return np.asarray(canvas), [captions.caption(what, rng) for _ in range(CAPTIONS)]
        if kind == "front":
            other = rng.choice(self.by_group[rng.choices(list(captions.ACTIONS), (6, 2, 2, 1))[0]])
            second, j = self.sprite(rng, other, style)
            canvas, back = self.background(rng, w, h, 0.4)
            compose.paste(canvas, sprite, *spots["behind"])
            compose.paste(canvas, second, *spots["front"])
            what = Description((thing, self.composer.thing(j)), style, back, in_front=True)
            return np.asarray(canvas), [captions.caption(what, rng) for _ in range(CAPTIONS)]
        if kind == "pair":
            other = rng.choice([n for n in self.by_group[rng.choice(PAIRED)] if n != name])
            second, j = self.sprite(rng, other, style)
            canvas, back = self.background(rng, w, h, 0.3)
            compose.paste(canvas, sprite, *spots["first"])
            compose.paste(canvas, second, *spots["second"])
            what = Description((thing, self.composer.thing(j)), style, back)
            bare = [f"{captions.article(name)} and {captions.article(other)}", f"{name} and {other}"]
            said = [captions.caption(what, rng) for _ in range(CAPTIONS)]
            return np.asarray(canvas), said if back or style == OTHER_SHAPES else [*bare, *said[2:]]
        if kind == "colour":
            colour = rng.choice(list(scenes.COLOURS))
            canvas, back = self.background(rng, w, h, 0.15)
            compose.paste(canvas, compose.recolour(sprite, colour), *spots["centre"])
            what = Description((self.composer.thing(i, colour),), style, back)
            said = [captions.caption(what, rng) for _ in range(CAPTIONS)]
            bare = f"{captions.article(f'{colour} {name}')} on a {back or 'white'} background"
            return np.asarray(canvas), [bare, captions.article(f"{colour} {name}") if not back else bare, *said[2:]]
        canvas, back = self.background(rng, w, h, 0.5)
        compose.paste(canvas, sprite, *spots["centre"])
        what = Description((thing,), style, back)
        said = [captions.caption(what, rng) for _ in range(CAPTIONS)]
        if back:
            return np.asarray(canvas), [f"{captions.article(name)} on a {back} background", *said[1:]]
        return np.asarray(canvas), said if style == OTHER_SHAPES else [name, captions.article(name), *said[2:]]


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
    np.savez(partial_file, pictures=np.stack([p for p, _ in drawn]), captions=np.array([c for _, c in drawn]))
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
