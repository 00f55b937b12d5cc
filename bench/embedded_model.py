"""How good is the embedded model? A judge that never saw a generated picture says.

The judge is a small classifier trained on real pictures of the data set in all styles but one; its accuracy
on the held-out style, by the same procedure, stands beside every figure. Run with the training requirements
installed and the data set built (see training/embedded/README.md):

    python bench/embedded_model.py --packages WORK/packages --data WORK/data --shards WORK/varied --judge WORK/judge.pt

Writes bench/results/embedded_model.json and .md. A goal that is missed is printed as missed, and the exit
status is 1.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "training" / "embedded"))

import captions  # noqa: E402
import compose  # noqa: E402
import plain  # noqa: E402
import sample  # noqa: E402
import scenes  # noqa: E402
import varied  # noqa: E402

from embedded.colour import main_colour  # noqa: E402
from embedded.costs import costs  # noqa: E402
from embedded.judge import HELD_OUT, Judge, Picture, to_tensor, train_judge  # noqa: E402
from embedded.report import FEW, GOALS, report  # noqa: E402
from embedded.together import named_together  # noqa: E402

MODEL = ROOT / "servers" / "imajin_servers" / "diffusion" / "embedded"


@dataclass
class Bench:
    """The judge, the pictures' makers and what they need."""

    judge: Judge
    composer: compose.Composer
    pipeline: object
    steps: int
    guidance: float
    together: frozenset[frozenset[str]] = field(default_factory=frozenset)
    """Pairs that some training caption names."""

    @torch.no_grad()
    def ranks(self, pictures: list[Picture]) -> Tensor:
        """Class numbers by falling score (B, classes)."""
        x = to_tensor(pictures)
        return (self.judge(x) + self.judge(x.flip(-1))).argsort(1, descending=True)

    def hits(self, pictures: list[Picture], names: list[str], k: int) -> float:
        """Part of the pictures whose concept is among the judge's first `k`."""
        wanted = torch.tensor([self.composer.names.index(n) for n in names])
        return float((self.ranks(pictures)[:, :k] == wanted[:, None]).any(1).float().mean())

    def draw(
        self, prompts: list[str], size: tuple[int, int] = (256, 256), seed: int = 1, steps: int = 0
    ) -> list[Picture]:
        """Generate; in the usual number of steps if not told."""
        return [
            np.asarray(p) for p in sample.draw(self.pipeline, prompts, size, seed, steps or self.steps, self.guidance)
        ]

    def real(self, rng: random.Random, name: str, colour: str = "") -> Picture:
        """A real picture of the concept in the held-out style on a plain background."""
        found = self.composer.index.get((name, HELD_OUT)) or [self.composer.pick(rng, name, "3d")]
        sprite = np.asarray(self.composer.sprites[rng.choice(found)])
        if colour:
            sprite = compose.recolour(sprite, colour)
        canvas = Image.fromarray(scenes.plain(rng, 256, 256, None))
        compose.paste(canvas, sprite, 224, 16, 16)
        return np.asarray(canvas)

    @property
    def names(self) -> list[str]:
        """What the model claims to draw; the judge knows more and may answer with those."""
        return [name for name in self.composer.names if name in plain.names()]

    def in_vocabulary(self, rng: random.Random) -> dict[str, float]:
        """200 prompts: every concept by its name alone, and as many again in a sentence as it takes."""
        wordings = ("a picture of {}", "{} on a white background", "{}, 3d style", "a drawing of {}, bright colors")
        more = rng.sample(self.names, 200 - len(self.names))
        names = [*self.names, *more]
        prompts = [captions.article(n) for n in self.names]
        prompts += [rng.choice(wordings).format(captions.article(n)) for n in more]
        drawn = self.draw(prompts)
        real = [self.real(rng, n) for n in names]
        return {
            "top1": self.hits(drawn, names, 1),
            "top5": self.hits(drawn, names, 5),
            "judge_top1": self.hits(real, names, 1),
            "judge_top5": self.hits(real, names, 5),
        }

    def few_steps(self, rng: random.Random) -> dict[str, float]:
        """Every concept by its name alone, in fewer steps."""
        names = self.names
        prompts = [captions.article(n) for n in names]
        real = [self.real(rng, n) for n in names]
        out = {"judge_top1": self.hits(real, names, 1), "judge_top5": self.hits(real, names, 5)}
        for steps in FEW:
            drawn = self.draw(prompts, steps=steps)
            out |= {f"top1_{steps}": self.hits(drawn, names, 1), f"top5_{steps}": self.hits(drawn, names, 5)}
        return out

    def synonyms(self, rng: random.Random) -> dict[str, float]:
        """40 concepts by another word."""
        single = [
            c
            for c in self.composer.known.values()
            if c.name in self.names
            and c.synonyms
            and c.group in {"animals", "people", "food", "travel", "objects", "plants", "places", "activities"}
        ]
        some = rng.sample(single, 40)
        drawn = self.draw([captions.article(rng.choice(c.synonyms)) for c in some])
        names = [c.name for c in some]
        real = [self.real(rng, n) for n in names]
        return {
            "top1": self.hits(drawn, names, 1),
            "top5": self.hits(drawn, names, 5),
            "judge_top1": self.hits(real, names, 1),
            "judge_top5": self.hits(real, names, 5),
        }

    def colours(self, rng: random.Random) -> dict[str, float]:
        """60 coloured things on white: is most of what stands there of that colour?"""
        paintable = [
            c.name
            for c in self.composer.known.values()
            if c.name in self.names and c.group in {"animals", "objects", "travel", "plants", "food", "hearts"}
        ]
        asked = [
            (rng.choice([c for c in scenes.COLOURS if c not in {"white", "brown"}]), name)
            for name in rng.sample(paintable, 60)
        ]
        drawn = self.draw([f"{captions.article(f'{colour} {name}')} on a white background" for colour, name in asked])
        real = [self.real(rng, name, colour) for colour, name in asked]
        return {
            "right": float(np.mean([main_colour(p) == c for p, (c, _) in zip(drawn, asked, strict=True)])),
            "judge_right": float(np.mean([main_colour(p) == c for p, (c, _) in zip(real, asked, strict=True)])),
        }

    def present(self, picture: Picture, names: tuple[str, str]) -> bool:
        """Whether each of two concepts is among the judge's first three for some part of the picture."""
        w = picture.shape[1]
        parts = [picture, picture[:, : w * 53 // 100], picture[:, w * 47 // 100 :]]
        seen = set(self.ranks(parts)[:, :3].flatten().tolist())
        return all(self.composer.names.index(n) in seen for n in names)

    def pairs(self, rng: random.Random) -> dict[str, float]:
        """40 pairs side by side in a landscape picture."""
        return self.side_by_side([tuple(rng.sample(self.pairable, 2)) for _ in range(40)])

    def unseen_pairs(self, rng: random.Random) -> dict[str, float]:
        """40 of the pairs that no training caption names together."""
        unseen = [pair for pair in combinations(self.pairable, 2) if frozenset(pair) not in self.together]
        return self.side_by_side([(a, b) if rng.random() < 0.5 else (b, a) for a, b in rng.sample(unseen, 40)])

    @property
    def pairable(self) -> list[str]:
        """What stands beside something else."""
        groups = self.composer.by_group
        return [n for group in ("animals", "food", "travel", "plants") for n in groups[group] if n in self.names]

    def side_by_side(self, asked: Sequence[tuple[str, str]]) -> dict[str, float]:
        """Both of each pair, in landscape."""
        drawn = self.draw([f"{captions.article(a)} and {captions.article(b)}" for a, b in asked], (320, 192))
        real = []
        for a, b in asked:
            halves = [
                np.asarray(Image.fromarray(self.real(random.Random(f"{a}{b}"), n)).resize((160, 160))) for n in (a, b)
            ]
            real.append(np.pad(np.concatenate(halves, 1), ((16, 16), (0, 0), (0, 0)), mode="edge"))
        both = [self.present(p, names) for p, names in zip(drawn, asked, strict=True)]
        other = [self.present(p, names) for p, names in zip(drawn, [*asked[1:], asked[0]], strict=True)]
        true = [self.present(p, names) for p, names in zip(real, asked, strict=True)]
        return {
            "both": float(np.mean(both)),
            "judge_both": float(np.mean(true)),
            "wrong_pair": float(np.mean(other)),
        }

    def scenes(self, rng: random.Random) -> dict[str, float]:
        """60 animals, people and vehicles in scenes, half upright: are they there, and once?"""
        groups = self.composer.by_group
        pool = [n for group in ("animals", "people", "travel") for n in groups[group] if n in self.names]
        composed = varied.Varied(self.composer)
        drawn, real, names = [], [], []
        for aspect in ("portrait", "landscape"):
            prompts = []
            for name in rng.sample(pool, 30):
                chosen = varied.Choices(HELD_OUT, (0, 0))
                picture, said, _ = composed.scene(rng, name, aspect, chosen)
                prompts.append(f"{captions.article(name)} {captions.setting(said, rng)}")
                real.append(np.asarray(picture))
                names.append(name)
            drawn += self.draw(prompts, compose.ASPECTS[aspect])
        return {
            "top5": self.hits(drawn, names, 5),
            "twice": float(np.mean([self.twice(p, n) for p, n in zip(drawn, names, strict=True)])),
            "judge_top5": self.hits(real, names, 5),
            "judge_twice": float(np.mean([self.twice(p, n) for p, n in zip(real, names, strict=True)])),
        }

    def twice(self, picture: Picture, name: str) -> bool:
        """Whether the judge finds the thing where training shows the scene alone: above it in portrait, on either side in landscape."""
        high, wide = picture.shape[:2]
        parts = [picture[: high * 2 // 5]] if high > wide else [picture[:, : wide // 3], picture[:, -(wide // 3) :]]
        return self.composer.names.index(name) in self.ranks(parts)[:, 0].tolist()

    @torch.no_grad()
    def spread(self, pictures: list[Picture]) -> float:
        """Mean distance between the judge's features of pictures, each of unit length."""
        f = functional.normalize(self.judge.body(to_tensor(pictures)), dim=1)
        return float(torch.pdist(f).mean())

    def variety(self, rng: random.Random) -> dict[str, float]:
        """20 concepts, 8 seeds each, against the styles that the data set has of each."""
        seeds, styles = [], []
        for number, name in enumerate(rng.sample(self.names, 20)):
            seeds.append(self.spread(self.draw([captions.article(name)] * 8, seed=100 * number)))
            real = []
            for style in compose.STYLE_WEIGHTS:
                sprite = np.asarray(self.composer.sprites[self.composer.pick(rng, name, style)])
                canvas = Image.fromarray(scenes.plain(rng, 256, 256, None))
                compose.paste(canvas, sprite, 224, 16, 16)
                real.append(np.asarray(canvas))
            styles.append(self.spread(real))
        return {
            "ratio": float(np.mean(seeds) / np.mean(styles)),
            "seeds": float(np.mean(seeds)),
            "styles": float(np.mean(styles)),
        }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="where the sprites are")
    parser.add_argument(
        "--judge", type=Path, required=True, help="the judge's checkpoint; trained and written when missing"
    )
    parser.add_argument("--shards", type=Path, help="the varied set: pairs that it doesn't have are asked for, too")
    parser.add_argument("--judge-minutes", type=float, default=8)
    parser.add_argument("--judge-only", action="store_true", help="train the judge, print its accuracy and stop")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    composer = compose.open_composer(args.packages, args.data)
    if args.judge.exists():
        judge = Judge(len(composer.names))
        judge.load_state_dict(torch.load(args.judge))
        judge.eval()
    else:
        judge = train_judge(composer, args.judge_minutes)
        torch.save(judge.state_dict(), args.judge)
    if args.judge_only:
        bench = Bench(judge, composer, None, args.steps, args.guidance)
        rng = random.Random(3)
        real = [bench.real(rng, n) for n in composer.names]
        print(
            f"judge on held-out style: top-1 {bench.hits(real, composer.names, 1):.3f}, top-5 {bench.hits(real, composer.names, 5):.3f}"
        )
        return 0
    together = named_together(args.shards, composer) if args.shards else frozenset()
    bench = Bench(judge, composer, sample.load(args.model), args.steps, args.guidance, together)
    parts = ["in_vocabulary", "synonyms", "colours", "pairs", "scenes", "variety", "few_steps"]
    if args.shards:
        parts.insert(4, "unseen_pairs")
    results: dict[str, dict[str, float]] = {}
    for name in parts:
        results[name] = getattr(bench, name)(random.Random(7))
        print(name, results[name], flush=True)
    results["speed"] = costs(args.model, args.guidance)
    text, met = report(results)
    command = f"python bench/embedded_model.py --steps {args.steps} --guidance {args.guidance:g}"
    record = {
        "command": command,
        "machine": f"{platform.machine()}, {torch.__version__}",
        "goals": GOALS,
        "results": results,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "embedded_model.json").write_text(json.dumps(record, indent=1) + "\n")
    (args.out / "embedded_model.md").write_text(
        f"# The embedded model, judged\n\n`{command}` (paths of the data left out)\n\n{text}"
    )
    print(text)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
