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
CAPTIONS = 3
STYLE_WEIGHTS = {"3d": 0.5, "flat": 0.14, "gradient": 0.14, "noto": 0.22}
ANIMATE = {"animals", "people", "faces"}
SKY_GROUPS = {"sky"}
Sprite = np.ndarray  # (S, S, 4) uint8, straight alpha


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


def paste(canvas: Image.Image, sprite: Sprite, size: int, cx: float, cy: float, angle: float) -> None:
    """Paste a sprite of `size` pixels centred at (cx, cy), turned by `angle` degrees."""
    image = Image.fromarray(sprite).convert("RGBa").resize((size, size), Image.Resampling.BICUBIC)
    if angle:
        image = image.rotate(angle, Image.Resampling.BICUBIC)
    image = image.convert("RGBA")
    canvas.paste(image, (round(cx - size / 2), round(cy - size / 2)), image)


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

    def single(self, rng: random.Random, name: str, style: str, w: int, h: int) -> tuple[np.ndarray, Description]:
        """One thing, on a background or in a scene."""
        m, i = min(w, h), self.pick(rng, name, style)
        sprite, record = self.sprites[i], self.records[i]
        colour, background, scene, time = "", "", "", "day"
        if (
            rng.random() < 0.14
            and self.known[name].group not in {"people", "faces"}
            and name not in {"rainbow", "earth"}
        ):
            colour = rng.choice(list(scenes.COLOURS))
            sprite = recolour(np.asarray(sprite), colour)
        roll = rng.random()
        if roll < 0.36:
            scene, time = rng.choice(list(scenes.SCENES)), rng.choices(list(scenes.SKIES), (3, 2, 1.4))[0]
            back = scenes.render(scenes.SCENES[scene](rng, w, h, time), w, h)
            scale = rng.uniform(0.5, 0.86)
        else:
            background = rng.choice(list(scenes.COLOURS)) if roll < 0.58 else ""
            back = scenes.plain(rng, w, h, background or None)
            scale = rng.uniform(0.66, 0.94)
        said = ""
        if rng.random() < 0.12:
            said = rng.choice(("big", "small"))
            scale = rng.uniform(0.9, 0.97) if said == "big" else rng.uniform(0.34, 0.44)
        place, cx = "", w / 2 + rng.uniform(-0.02, 0.02) * w
        if rng.random() < (0.3 if w > h else 0.08) and scale < 0.8:
            place = rng.choice(("left", "right"))
            cx = (w * 0.27 if place == "left" else w * 0.73) + rng.uniform(-0.03, 0.03) * w
        size = round(scale * m)
        cy = h / 2 + rng.uniform(-0.02, 0.02) * h
        if scene and self.known[name].group not in SKY_GROUPS and scene not in {"sky", "space", "underwater"}:
            cy = h * rng.uniform(0.88, 0.95) - size / 2
        elif h > w:
            cy = h * rng.uniform(0.46, 0.56)
        cy = min(max(cy, size / 2), h - size / 2)
        cx = min(max(cx, size / 2), w - size / 2)
        if rng.random() < 0.5:
            sprite = sprite[:, ::-1]
        canvas = Image.fromarray(back)
        paste(canvas, np.asarray(sprite), size, cx, cy, rng.uniform(-8, 8) if rng.random() < 0.3 else 0)
        thing = Thing(self.known[name], record["label"], record["tone"], colour, said)
        return np.asarray(canvas), Description((thing,), record["style"], background, scene, time, place)

    def pair(self, rng: random.Random, name: str, style: str, w: int, h: int) -> tuple[np.ndarray, Description]:
        """Two things: side by side, or the second small and in front of the first."""
        m = min(w, h)
        in_front = self.known[name].group in ANIMATE and rng.random() < 0.5
        if in_front:
            other = rng.choice(self.by_group[rng.choices(list(captions.ACTIONS), (6, 2, 2, 1))[0]])
        else:
            other = rng.choice(
                [
                    n
                    for n in self.by_group[
                        rng.choice(("animals", "animals", "people", "food", "travel", "objects", "plants"))
                    ]
                    if n != name
                ]
            )
        i, j = self.pick(rng, name, style), self.pick(rng, other, style)
        scene, time, background = "", "day", ""
        if rng.random() < 0.3:
            scene, time = rng.choice(list(scenes.SCENES)), rng.choices(list(scenes.SKIES), (3, 2, 1.4))[0]
            back = scenes.render(scenes.SCENES[scene](rng, w, h, time), w, h)
        else:
            background = rng.choice(list(scenes.COLOURS)) if rng.random() < 0.3 else ""
            back = scenes.plain(rng, w, h, background or None)
        a, b = self.sprites[i], self.sprites[j]
        if rng.random() < 0.5:
            a = a[:, ::-1]
        canvas = Image.fromarray(back)
        if in_front:
            big, small = round(m * rng.uniform(0.7, 0.86)), round(m * rng.uniform(0.36, 0.44))
            cx, cy = (
                w / 2 + rng.uniform(-0.02, 0.02) * w,
                max(big / 2, h * (0.94 if scene else 0.52 + 0.06 * (h > w)) - (big / 2 if scene else 0)),
            )
            side = rng.choice((-1, 1))
            paste(canvas, np.asarray(a), big, cx, min(cy, h - big / 2), 0)
            paste(canvas, np.asarray(b), small, cx + side * big * 0.27, min(cy + big * 0.3, h - small / 2), 0)
        else:
            if h > w:
                size = round(w * rng.uniform(0.66, 0.78))
                spots = ((w * 0.5, h * 0.27), (w * 0.5, h * 0.73))
            else:
                size = round(min(w * 0.49, h * 0.86) * rng.uniform(0.92, 1))
                cy = h * 0.94 - size / 2 if scene else h / 2
                spots = ((w * 0.26, cy), (w * 0.74, cy))
            if w == h and rng.random() < 0.5:
                spots = (spots[1], spots[0])
            for s, (cx, cy) in zip((a, b), spots, strict=True):
                paste(canvas, np.asarray(s), size, cx, cy, 0)
        things = tuple(
            Thing(self.known[self.records[k]["concept"]], self.records[k]["label"], self.records[k]["tone"])
            for k in (i, j)
        )
        return np.asarray(canvas), Description(things, self.records[i]["style"], background, scene, time, "", in_front)

    def draw(self, rng: random.Random, name: str, aspect: str) -> tuple[np.ndarray, list[str]]:
        """One picture (H, W, 3) uint8 of a concept and its captions."""
        w, h = ASPECTS[aspect]
        style = rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]
        kind = self.pair if rng.random() < 0.2 else self.single
        picture, description = kind(rng, name, style, w, h)
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
    aspect = ("square", "square", "landscape", "portrait", "landscape")[number % 5]
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
