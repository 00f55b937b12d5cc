"""What training pictures are composed of: the sprites, where they stand, and how they are painted and pasted."""

from __future__ import annotations

import json
import random
from pathlib import Path

import concepts
import dataset
import numpy as np
import scenes
from captions import Thing
from PIL import Image

ASPECTS = {"square": (256, 256), "landscape": (320, 192), "portrait": (192, 320)}
# Where things stand, by aspect: (size, x, y) in pixels. All on the grid of the autoencoder's 16 x 16 pixels, so that a thing
# has the same latents wherever it stands: with free sizes and places the denoiser needs many times the steps.
SPOTS = {
    "square": {
        "centre": (224, 16, 16),
        "scene": (160, 48, 80),
        "first": (128, 0, 80),
        "second": (128, 128, 80),
        "behind": (160, 48, 48),
        "front": (96, 128, 128),
    },
    "landscape": {
        "centre": (160, 80, 16),
        "scene": (160, 80, 16),
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
STYLE_WEIGHTS = {"3d": 0.6, "flat": 0.1, "gradient": 0.1, "noto": 0.2}
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


def paste(canvas: Image.Image, sprite: Sprite, size: int, x: int, y: int) -> None:
    """Paste a sprite of `size` pixels with its top left corner at (x, y)."""
    image = Image.fromarray(sprite).convert("RGBa").resize((size, size), Image.Resampling.BICUBIC).convert("RGBA")
    canvas.paste(image, (x, y), image)


class Composer:
    """The sprites, by concept and style."""

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

    def thing(self, i: int, colour: str = "") -> Thing:
        """How sprite `i` is spoken of."""
        record = self.records[i]
        return Thing(self.known[record["concept"]], record["label"], record["tone"], colour)


def open_composer(packages: Path, data: Path) -> Composer:
    """A composer over the sprites that `dataset.py` wrote."""
    records = [json.loads(line) for line in (data / "sprites.jsonl").read_text().splitlines()]
    known = {c.name: c for c in concepts.load(dataset.emojibase(packages))}
    return Composer(np.load(data / "sprites.npy", mmap_mode="r"), records, known)
