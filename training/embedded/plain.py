"""Compose the plain set: each concept of `plain.txt` once, centred, on white in three aspects and on one colour in the square.

Shapes form on this set, where a name always shows the same thing in the same place. Writes a shard an aspect: `shard-000.npz` with `pictures` (N, H, W, 3)
uint8 and `captions` (N, 8) str.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import captions
import compose
import numpy as np
import scenes
from captions import Description
from PIL import Image

LIST = Path(__file__).with_name("plain.txt")
CAPTIONS = 8
SEED = 11


def names() -> set[str]:
    """The concepts of the plain set."""
    return {line for line in LIST.read_text().splitlines() if line and not line.startswith("#")}


def first(composer: compose.Composer, name: str) -> int:
    """The sprite that the plain set shows of a thing."""
    return next(i for style in compose.STYLE_WEIGHTS for i in composer.index.get((name, style), []))


def shard(composer: compose.Composer, rng: random.Random, aspect: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, H, W, 3) uint8 of one aspect and their captions (N, CAPTIONS) str."""
    w, h = compose.ASPECTS[aspect]
    pictures, said = [], []
    for name in (name for name in composer.names if name in names()):
        i = first(composer, name)
        colours = ("", rng.choice(list(scenes.COLOURS))) if aspect == "square" else ("",)
        for colour in colours:
            canvas = Image.fromarray(scenes.plain(rng, w, h, colour)) if colour else Image.new("RGB", (w, h), "white")
            compose.paste(canvas, np.asarray(composer.sprites[i]), *compose.SPOTS[aspect]["centre"])
            what = Description((composer.thing(i),), composer.records[i]["style"], colour, "", "day", "")
            bare = [] if colour else [name, name, captions.article(name)]
            pictures.append(np.asarray(canvas))
            said.append([captions.caption(what, rng) for _ in range(CAPTIONS - len(bare))] + bare)
    return np.stack(pictures), np.array(said)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="where the sprites are")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    composer, rng = compose.open_composer(args.packages, args.data), random.Random(SEED)
    for number, aspect in enumerate(compose.ASPECTS):
        pictures, said = shard(composer, rng, aspect)
        np.savez(args.out / f"shard-{number:03d}.npz", pictures=pictures, captions=said)
        print(f"{aspect}: {len(pictures)} pictures", flush=True)


if __name__ == "__main__":
    main()
