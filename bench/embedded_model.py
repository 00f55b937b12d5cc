"""How good is the embedded model? A judge that never saw a generated picture says.

The judge is a small classifier trained on real pictures of the data set in all styles but one; its accuracy
on the held-out style, by the same procedure, stands beside every figure. Run with the training requirements
installed and the data set built (see training/embedded/README.md):

    python bench/embedded_model.py --packages WORK/packages --data WORK/data --judge WORK/judge.pt

Writes bench/results/embedded_model.json and .md. A goal that is missed is printed as missed, and the exit
status is 1.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "training" / "embedded"))

import captions  # noqa: E402
import compose  # noqa: E402
import plain  # noqa: E402
import sample  # noqa: E402
import scenes  # noqa: E402

MODEL = ROOT / "servers" / "imajin_servers" / "diffusion" / "embedded"
SIDE = 80  # what the judge looks at, pixels
HELD_OUT = "gradient"
FEW = (8, 4, 2)
GOALS = {"top1": 0.85, "top5": 0.95, "colour": 0.85, "pairs": 0.60, "synonyms": 0.70, "variety": 0.5}
Picture = np.ndarray  # (H, W, 3) uint8


class Block(nn.Module):
    """Two normalised convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        self.na, self.nb = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return functional.relu(x + self.nb(self.b(functional.relu(self.na(self.a(x))))))


class Judge(nn.Module):
    """Classifier of (B, 3, 80, 80) pictures in -1..1."""

    def __init__(self, classes: int, widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [
                nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                Block(width),
            ]
            before = width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        return self.head(self.body(x))


def to_tensor(pictures: list[Picture]) -> Tensor:
    """Pictures of any size to (B, 3, 80, 80) in -1..1, padded to squares with their edge colours."""
    out = []
    for p in pictures:
        h, w = p.shape[:2]
        if h != w:
            m = max(h, w)
            p = np.pad(
                p,
                (((m - h) // 2, m - h - (m - h) // 2), ((m - w) // 2, m - w - (m - w) // 2), (0, 0)),
                mode="edge",
            )
        out.append(np.asarray(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.BOX)))
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 127.5 - 1


def sprite_bank(composer: compose.Composer, styles: Callable[[str], bool]) -> tuple[Tensor, Tensor]:
    """Premultiplied sprites (N, 4, 96, 96) in 0..1 of the chosen styles, and their classes."""
    number = {name: i for i, name in enumerate(composer.names)}
    rows = [i for i, r in enumerate(composer.records) if styles(r["style"]) and r["concept"] in number]
    small = [
        np.asarray(Image.fromarray(composer.sprites[i]).convert("RGBa").resize((96, 96), Image.Resampling.BOX))
        for i in rows
    ]
    labels = torch.tensor([number[composer.records[i]["concept"]] for i in rows])
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255, labels


def backgrounds(count: int, seed: int) -> Tensor:
    """Random backgrounds (count, 3, 80, 80) in 0..1."""
    rng, out = random.Random(seed), []
    for _ in range(count):
        if rng.random() < 0.35:
            scene = rng.choice(list(scenes.SCENES.values()))
            out.append(scenes.render(scene(rng, SIDE, SIDE, rng.choice(list(scenes.SKIES))), SIDE, SIDE))
        else:
            out.append(scenes.plain(rng, SIDE, SIDE, rng.choice([*scenes.COLOURS, None, None, None, None])))
    return torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float() / 255


def place(sprites: Tensor, back: Tensor, low: float = 0.36, high: float = 0.98) -> Tensor:
    """Put sprites on backgrounds at random sizes and spots, some mirrored. (B, 3, 80, 80) in -1..1."""
    n = len(sprites)
    scale = torch.empty(n).uniform_(low, high)
    room = 1 - scale
    theta = torch.zeros(n, 2, 3)
    turn = torch.empty(n).uniform_(-0.15, 0.15)
    flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    theta[:, 0, 0], theta[:, 0, 1] = flip * turn.cos() / scale, -turn.sin() / scale
    theta[:, 1, 0], theta[:, 1, 1] = flip * turn.sin() / scale, turn.cos() / scale
    dx, dy = torch.empty(n).uniform_(-1, 1) * room, torch.empty(n).uniform_(-1, 1) * room
    theta[:, 0, 2] = -(theta[:, 0, 0] * dx + theta[:, 0, 1] * dy)
    theta[:, 1, 2] = -(theta[:, 1, 0] * dx + theta[:, 1, 1] * dy)
    moved = functional.grid_sample(
        sprites, functional.affine_grid(theta, [n, 4, SIDE, SIDE], align_corners=False), align_corners=False
    )
    return (moved[:, :3] + back * (1 - moved[:, 3:])) * 2 - 1


def train_judge(composer: compose.Composer, minutes: float, seed: int = 0) -> Judge:
    """Train on every style but the held-out one."""
    torch.manual_seed(seed)
    bank, labels = sprite_bank(composer, lambda style: style != HELD_OUT)
    back = backgrounds(700, seed)
    judge = Judge(len(composer.names)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
    start, step = time.time(), 0
    while (done := (time.time() - start) / (minutes * 60)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 50) * max(0.01, 1 - done)
        rows = torch.randint(0, len(bank), (64,))
        x = place(bank[rows], back[torch.randint(0, len(back), (64,))])
        x = x * torch.empty(64, 1, 1, 1).uniform_(0.85, 1.1) + 0.04 * torch.randn_like(x) * (
            torch.rand(64, 1, 1, 1) < 0.5
        )
        if step % 3 == 0:  # generated pictures are softer than real ones
            x = functional.interpolate(
                functional.interpolate(x, scale_factor=0.6, mode="bilinear"),
                size=(SIDE, SIDE),
                mode="bilinear",
            )
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(x.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), labels[rows], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 200 == 0:
            print(f"judge: step {step}, loss {loss.item():.3f}, {100 * done:.0f}%", flush=True)
    return judge.eval()


@dataclass
class Bench:
    """The judge, the pictures' makers and what they need."""

    judge: Judge
    composer: compose.Composer
    pipeline: object
    steps: int
    guidance: float

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
        out = {}
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
        groups = self.composer.by_group
        pool = [n for group in ("animals", "food", "travel", "plants") for n in groups[group] if n in self.names]
        asked = [tuple(rng.sample(pool, 2)) for _ in range(40)]
        drawn = self.draw([f"{captions.article(a)} and {captions.article(b)}" for a, b in asked], (320, 192))
        real = []
        for a, b in asked:
            halves = [
                np.asarray(Image.fromarray(self.real(random.Random(f"{a}{b}"), n)).resize((160, 160))) for n in (a, b)
            ]
            real.append(np.pad(np.concatenate(halves, 1), ((16, 16), (0, 0), (0, 0)), mode="edge"))
        both = [self.present(p, names) for p, names in zip(drawn, asked, strict=True)]
        other = [self.present(p, names) for p, names in zip(drawn, asked[1:] + asked[:1], strict=True)]
        true = [self.present(p, names) for p, names in zip(real, asked, strict=True)]
        return {
            "both": float(np.mean(both)),
            "judge_both": float(np.mean(true)),
            "wrong_pair": float(np.mean(other)),
        }

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


def main_colour(picture: Picture) -> str:
    """The named colour of most pixels that aren't background (the border's median), highlights, outlines or
    eyes.
    """
    x = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BOX)).astype(np.float32)
    border = np.median(np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]]), 0)
    subject = x[np.abs(x - border).max(-1) > 40]
    if len(subject) < 30:
        return "none"
    names = list(scenes.COLOURS)
    wanted = lab(np.asarray([scenes.COLOURS[n] for n in names], np.float32))
    got = lab(subject)
    # lightness counts less than hue: shading isn't another colour
    distance = np.linalg.norm((got[:, None] - wanted[None]) * np.array([0.45, 1, 1], np.float32), axis=-1)
    votes = np.bincount(distance.argmin(1), minlength=len(names)).astype(float)
    return names[int(votes.argmax())]


def lab(rgb: np.ndarray) -> np.ndarray:
    """From sRGB 0..255 to CIE Lab (D65), (..., 3)."""
    c = rgb / 255
    c = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = (
        c
        @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
        / np.array([0.9505, 1, 1.089])
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def speed(guidance: float) -> dict[str, float]:
    """Seconds to load, and per picture on one thread: medians of five."""
    start = time.perf_counter()
    pipeline = sample.load(MODEL, threads=1)
    loading = time.perf_counter() - start
    out = {"load_seconds": loading}
    for n in (20, *FEW):
        times = []
        for _ in range(6):
            start = time.perf_counter()
            sample.draw(pipeline, ["a cat"], steps=n, guidance=guidance)
            times.append(time.perf_counter() - start)
        out[f"seconds_{n}_steps"] = float(np.median(times[1:]))
    return out


def report(results: dict[str, dict[str, float]]) -> tuple[str, bool]:
    """The Markdown table, and whether every goal is met."""
    v, s, c, p, y, t = (results[k] for k in ("in_vocabulary", "synonyms", "colours", "pairs", "variety", "speed"))
    rows = [
        ("200 prompts of 124 things, top-1", v["top1"], v["judge_top1"], GOALS["top1"]),
        ("200 prompts of 124 things, top-5", v["top5"], v["judge_top5"], GOALS["top5"]),
        ("60 colours, right", c["right"], c["judge_right"], GOALS["colour"]),
        ("40 pairs, both there", p["both"], p["judge_both"], GOALS["pairs"]),
        ("40 synonyms, top-1", s["top1"], s["judge_top1"], GOALS["synonyms"]),
    ]
    lines = ["| what | generated | real pictures, held-out style | goal | |", "|---|---|---|---|---|"]
    lines += [
        f"| {n} | {100 * a:.1f}% | {100 * b:.1f}% | {100 * g:.0f}% | {'met' if a >= g else 'missed'} |"
        for n, a, b, g in rows
    ]
    lines.append(
        f"| variety: 8 seeds against the styles | {y['ratio']:.2f} | 1 | {GOALS['variety']} | {'met' if y['ratio'] >= GOALS['variety'] else 'missed'} |"
    )
    size = sum(f.stat().st_size for f in MODEL.rglob("*") if f.is_file()) / 2**20
    quick = t["seconds_20_steps"]
    lines.append(
        f"| seconds a picture, 20 steps, one thread | {quick:.2f} | | 3 | {'met' if quick <= 3 else 'missed'} |"
    )
    lines.append(
        f"| seconds to load | {t['load_seconds']:.2f} | | 2 | {'met' if t['load_seconds'] <= 2 else 'missed'} |"
    )
    lines.append(f"| MB in the repository | {size:.1f} | | 64 | {'met' if size <= 64 else 'missed'} |")
    f = results["few_steps"]
    lines += ["", "| steps | seconds a picture | 124 names, top-1 | top-5 |", "|---|---|---|---|"]
    lines += [
        f"| {n} | {t[f'seconds_{n}_steps']:.2f} | {100 * f[f'top1_{n}']:.1f}% | {100 * f[f'top5_{n}']:.1f}% |"
        for n in FEW
    ]
    chance = f"Pairs swapped among prompts (what chance gives): {100 * p['wrong_pair']:.0f}%."
    text = "\n".join(lines) + f"\n\n{chance}\n"
    return text, "missed" not in text


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="where the sprites are")
    parser.add_argument(
        "--judge", type=Path, required=True, help="the judge's checkpoint; trained and written when missing"
    )
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
    bench = Bench(judge, composer, sample.load(args.model), args.steps, args.guidance)
    results: dict[str, dict[str, float]] = {}
    for name in ("in_vocabulary", "synonyms", "colours", "pairs", "variety", "few_steps"):
        results[name] = getattr(bench, name)(random.Random(7))
        print(name, results[name], flush=True)
    results["speed"] = speed(args.guidance)
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
