"""Compose training pictures: sprites on backgrounds by rule, each with captions that say what was done.

Writes shards of one aspect each: `shard-000.npz` with `pictures` (N, H, W, 3) uint8 and `captions` (N, 3)
str.
"""

from __future__ import annotations

import argparse
import json
import random
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import captions
import concepts
import dataset
import numpy as np
import scenes
from captions import Description, Thing
from PIL import Image

ASPECTS = {"square": (256, 256), "landscape": (320, 192), "portrait": (192, 320)}
# Where things stand, by aspect: (size, x, y) in pixels. All on the grid of the autoencoder's 16 x 16 pixels, so that a thing
# has the same latents wherever it stands: with free sizes and places the denoiser needs many times the steps.
SPOTS = {
    "square": {
        "centre": (224, 16, 16),
        "scene": (160, 48, 80),
        "small": (128, 64, 64),
        "first": (128, 0, 80),
        "second": (128, 128, 80),
        "behind": (160, 48, 48),
        "front": (96, 128, 128),
    },
    "landscape": {
        "centre": (160, 80, 16),
        "scene": (160, 80, 16),
        "left": (160, 16, 16),
        "right": (160, 144, 16),
        "first": (128, 32, 48),
        "second": (128, 160, 48),
        "behind": (160, 80, 16),
        "front": (96, 160, 80),
    },
    "portrait": {
        "centre": (160, 16, 80),
        "scene": (160, 16, 128),
        "first": (128, 32, 32),
        "second": (128, 32, 160),
        "behind": (160, 16, 80),
        "front": (96, 80, 160),
    },
}
SHARDS = ("square", "landscape", "square", "portrait", "square", "square", "landscape", "square")
CAPTIONS = 3
STYLE_WEIGHTS = {"3d": 0.6, "flat": 0.1, "gradient": 0.1, "noto": 0.2}
ANIMATE = {"animals", "people", "faces"}
SKY_GROUPS = {"sky"}
Sprite = np.ndarray  # (S, S, 4) uint8, straight alpha
Backdrop = tuple[np.ndarray, str, str, str]  # picture, colour, scene, time of day


def recolour(sprite: Sprite, colour: str) -> Sprite:
    """Paint a sprite in one colour: its light and shade stay, and so do eyes, outlines and highlights."""
    rgb = sprite[..., :3].astype(np.float32) / 255
    light = rgb @ np.array([0.3, 0.59, 0.11], np.float32)
    saturation = rgb.max(-1) - rgb.min(-1)
    solid = sprite[..., 3] > 128
    colourful = solid.any() and float(saturation[solid].mean()) > 0.18
    mask = np.clip((saturation - 0.08) / 0.16, 0, 1) if colourful else np.clip((light - 0.3) / 0.2, 0, 1)
    mean = float(light[solid & (mask > 0.5)].mean()) if (solid & (mask > 0.5)).any() else 0.5
    target = np.asarray(scenes.COLOURS[colour], np.float32) / 255
    level = np.clip(light / max(mean, 0.05), 0, 2)[..., None]
    painted = np.where(level <= 1, target * (0.25 + 0.75 * level), target + (1 - target) * (level - 1) * 0.8)
    out = sprite.copy()
    out[..., :3] = ((rgb * (1 - mask[..., None]) + painted * mask[..., None]) * 255).clip(0, 255)
    return out


def paste(canvas: Image.Image, sprite: Sprite, size: int, x: int, y: int) -> None:
    """Paste a sprite of `size` pixels with its top left corner at (x, y)."""
    image = Image.fromarray(sprite).convert("RGBa").resize((size, size), Image.Resampling.BICUBIC).convert("RGBA")
    canvas.paste(image, (x, y), image)


class Composer:
    """Draws random pictures from the sprites. `rng` decides everything."""

    def __init__(self, sprites: np.ndarray, records: list[dict[str, str]], known: dict[str, concepts.Concept]) -> None:
        self.sprites = sprites
        self.known = known
        self.index: dict[tuple[str, str], list[int]] = {}
        self.records = records
        for i, r in enumerate(records):
            if not r["style"].startswith("judge"):
                self.index.setdefault((r["concept"], r["style"]), []).append(i)
        self.names = list(known)
        self.by_group: dict[str, list[str]] = {}
        for name, concept in known.items():
            self.by_group.setdefault(concept.group, []).append(name)

    def pick(self, rng: random.Random, name: str, style: str) -> int:
        """A sprite of the concept in the style, or in another when it has none."""
        found = self.index.get((name, style))
        return rng.choice(found or [i for s in STYLE_WEIGHTS for i in self.index.get((name, s), [])])

    def backdrop(self, rng: random.Random, w: int, h: int, scenery: float, colour: float) -> Backdrop:
        """A scene, a coloured background or a pale one, with these chances of the first two."""
        roll = rng.random()
        if roll < scenery:
            scene, time = rng.choice(list(scenes.SCENES)), rng.choices(list(scenes.SKIES), (3, 2, 1.4))[0]
            return scenes.render(scenes.SCENES[scene](rng, w, h, time), w, h), "", scene, time
        background = rng.choice(list(scenes.COLOURS)) if roll < scenery + colour else ""
        return scenes.plain(rng, w, h, background or None), background, "", "day"

    def thing(self, i: int, colour: str = "", said: str = "") -> Thing:
        """How sprite `i` is spoken of."""
        record = self.records[i]
        return Thing(self.known[record["concept"]], record["label"], record["tone"], colour, said)

    def single(self, rng: random.Random, name: str, style: str, aspect: str) -> tuple[np.ndarray, Description]:
        """One thing, on a background or in a scene."""
        w, h = ASPECTS[aspect]
        i = self.pick(rng, name, style)
        sprite, colour = np.asarray(self.sprites[i]), ""
        if (
            rng.random() < 0.1
            and self.known[name].group not in {"people", "faces"}
            and name not in {"rainbow", "earth"}
        ):
            colour = rng.choice(list(scenes.COLOURS))
            sprite = recolour(sprite, colour)
        back, background, scene, time = self.backdrop(rng, w, h, 0.32, 0.2)
        said, place = "", ""
        size, x, y = SPOTS[aspect]["scene" if scene and self.known[name].group not in SKY_GROUPS else "centre"]
        if aspect == "square" and not scene and rng.random() < 0.06:
            said = "small"
            size, x, y = SPOTS[aspect]["small"]
        if aspect == "landscape" and rng.random() < 0.3:
            place = rng.choice(("left", "right"))
            size, x, y = SPOTS[aspect][place]
        canvas = Image.fromarray(back)
        paste(canvas, sprite, size, x, y)
        thing = self.thing(i, colour, said)
        return np.asarray(canvas), Description((thing,), self.records[i]["style"], background, scene, time, place)

    def pair(self, rng: random.Random, name: str, style: str, aspect: str) -> tuple[np.ndarray, Description]:
        """Two things: side by side, or the second small and in front of the first."""
        w, h = ASPECTS[aspect]
        in_front = self.known[name].group in ANIMATE and rng.random() < 0.5
        if in_front:
            other = rng.choice(self.by_group[rng.choices(list(captions.ACTIONS), (6, 2, 2, 1))[0]])
        else:
            groups = ("animals", "animals", "people", "food", "travel", "objects", "plants")
            other = rng.choice([n for n in self.by_group[rng.choice(groups)] if n != name])
        i, j = self.pick(rng, name, style), self.pick(rng, other, style)
        back, background, scene, time = self.backdrop(rng, w, h, 0.25, 0.2)
        canvas = Image.fromarray(back)
        spots = SPOTS[aspect]
        for k, spot in zip((i, j), ("behind", "front") if in_front else ("first", "second"), strict=True):
            paste(canvas, np.asarray(self.sprites[k]), *spots[spot])
        things = (self.thing(i), self.thing(j))
        return np.asarray(canvas), Description(things, self.records[i]["style"], background, scene, time, "", in_front)

    def draw(self, rng: random.Random, name: str, aspect: str) -> tuple[np.ndarray, list[str]]:
        """One picture (H, W, 3) uint8 of a concept and its captions."""
        style = rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]
        kind = self.pair if rng.random() < 0.15 else self.single
        picture, description = kind(rng, name, style, aspect)
        return picture, [captions.caption(description, rng) for _ in range(CAPTIONS)]


def open_composer(packages: Path, data: Path) -> Composer:
    """A composer over the sprites that `dataset.py` wrote."""
    records = [json.loads(line) for line in (data / "sprites.jsonl").read_text().splitlines()]
    known = {c.name: c for c in concepts.load(dataset.emojibase(packages))}
    return Composer(np.load(data / "sprites.npy", mmap_mode="r"), records, known)


def shard(number: int, packages: Path, data: Path, out: Path, size: int) -> str:
    """Write one shard: every concept appears about equally often over the shards. Returns a line to print."""
    rng = random.Random(1000 + number)
    composer = open_composer(packages, data)
    aspect = SHARDS[number % len(SHARDS)]
    names: list[str] = []
    while len(names) < size:
        names += rng.sample(composer.names, len(composer.names))
    drawn = [composer.draw(rng, name, aspect) for name in names[:size]]
    w, h = ASPECTS[aspect]
    file = out / f"shard-{number:03d}.npz"
    partial_file = file.with_suffix(".tmp.npz")
    np.savez(partial_file, pictures=np.stack([p for p, _ in drawn]), captions=np.array([c for _, c in drawn]))
    partial_file.rename(file)
    return f"{file.name}: {size} pictures of {w}x{h}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="where the sprites are")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=25)
    parser.add_argument("--size", type=int, default=1000, help="pictures in a shard")
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
