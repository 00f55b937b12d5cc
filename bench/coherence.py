"""How alike are the bases of a batch? What all of them show in their middle, drawn in several ways from one seed.

    python bench/coherence.py                                         # two and a half minutes on one core
    python bench/coherence.py --sheet docs/images/coherence.webp      # and some of the pictures, to look at

Each of 50 prompts is drawn in the model's first two base sizes, one seed a prompt. The central square of each base, which all of them have, is brought
to one size and compared with that of the first base. Writes bench/results/coherence.json and .md.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.metrics import structural_similarity

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Conditioning, Run, Stepwise, wrap
from imajin_servers.diffusion.sources import Source
from results import Cell, write
from shared_attention import SharedAttention

MODEL = registry.embedded()
SIZES = MODEL.base_sizes[:2]
CANVAS = max(width for width, _ in SIZES), max(height for _, height in SIZES)
SIDE = min(min(size) for size in SIZES)
"""Pixels of a side of the squares that are compared."""
STEPS = 8
THINGS = """red apple, cat, dog, car, tree, house, fish, panda, rose, sun, moon, frog, horse, cow, pig, rabbit, bear, fox, lion, tiger,
elephant, monkey, penguin, owl, butterfly, bee, snail, turtle, octopus, whale, banana, lemon, strawberry, pizza, cupcake, bread, avocado, woman,
man, soccer ball, umbrella, sailboat, rocket, guitar, crown, gift, pumpkin, mushroom, castle, robot"""
PROMPTS = [f"a {' '.join(thing.split())}" for thing in THINGS.split(",")]
FEATURE_TIME = 200
"""Noise under which the denoiser looks at a picture, of 1000."""
LOOKS = 4
"""Times that it looks, under as many noises: what it sees depends on the noise."""
PLAIN = "own noise (plain)"
CELLS = 4
"""Cells of a side in which colours are counted apart."""
Pixels = NDArray[np.uint8]
Each = TypeVar("Each")
Bases = list[Pixels]
"""The pictures of one prompt, in the order of SIZES."""


class Studio:
    """Draws many orders at once, and looks at pictures as the denoiser does."""

    def __init__(self, guidance: float) -> None:
        self.guidance = guidance
        torch.set_num_threads(1)
        pipe = loading.load(MODEL, loading.directory(MODEL), torch.device("cpu"), lambda loaded, total: None)
        stepwise = wrap(pipe)
        assert isinstance(stepwise, Stepwise)
        self.stepwise = stepwise
        self.heard = {prompt: stepwise.encode(self.order(prompt, SIZES[0])) for prompt in PROMPTS}
        self.blank = stepwise.encode(replace(self.order("", SIZES[0]), guidance_scale=1.0))
        pick = torch.Generator("cpu").manual_seed(0)
        self.noise = torch.randn(LOOKS, stepwise.channels, *[SIDE // stepwise.cell] * 2, generator=pick)
        self.drawn: dict[str, Pixels] = {}
        self.seen: list[torch.Tensor] = []
        stepwise.denoiser.mid_block.register_forward_hook(lambda module, given, made: self.seen.append(made))

    def order(self, prompt: str, size: tuple[int, int], canvas: tuple[int, int] | None = None, seed: int = 0) -> Order:
        """`prompt` in one size."""
        return Order(MODEL, prompt, "", *size, STEPS, self.guidance, seed, 0, 50, noise_canvas=canvas)

    def draw(self, orders: Sequence[Order], noise: Callable[[Order], torch.Tensor] | None = None) -> list[Pixels]:
        """The pictures, denoised together as the server does it; from `noise` where given. None is drawn twice."""
        if noise is None:
            fresh = [order for order in orders if repr(order) not in self.drawn]
            self.drawn |= zip(map(repr, fresh), self.denoised([self.begun(order) for order in fresh]), strict=True)
            return [self.drawn[repr(order)] for order in orders]
        runs = [self.begun(order) for order in orders]
        for run in runs:
            run.latents = self.stepwise.initial(run.scheduler, noise(run.order))
        return self.denoised(runs)

    def denoised(self, runs: Sequence[Run]) -> list[Pixels]:
        """The pictures of `runs`."""
        engine = Engine("bench", self.stepwise, max_batch=8, ageing=1.0)
        try:
            tickets = [engine.submit(run, lambda run: None) for run in runs]
            return [self.stepwise.decode(ticket.left.result().latents) for ticket in tickets]
        finally:
            engine.close()

    def begun(self, order: Order) -> Run:
        """A run before its first step."""
        heard = Conditioning(self.heard[order.prompt].embeddings)
        known = None
        if order.source is not None:
            known = self.stepwise.know(order.source, torch.Generator("cpu").manual_seed(order.seed))
        return self.stepwise.start(order, heard, known)

    @torch.inference_mode()
    def features(self, picture: Pixels) -> torch.Tensor:
        """What the innermost block of the denoiser makes of a lightly noised picture, `(LOOKS, channels, places)`.

        Such features tell the parts of things across pictures (Tang et al. 2023, arXiv:2306.03881).
        """
        image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        latents = self.stepwise.latents_of(self.stepwise.pipe.vae, image)
        moment = torch.tensor([FEATURE_TIME])
        noisy = self.stepwise.template.add_noise(latents.expand_as(self.noise), self.noise, moment)
        self.seen.clear()
        self.stepwise.denoiser(noisy, moment, encoder_hidden_states=self.blank.embeddings.expand(LOOKS, -1, -1))
        return self.seen[-1].flatten(2)


def plain(studio: Studio) -> list[Bases]:
    """Each base from noise of its own size, as the plain pipeline draws it."""
    return grouped(studio.draw(orders(studio, None)))


def other_seeds(studio: Studio) -> list[Bases]:
    """The first base, and the others each from a seed of its own: how much a seed decides."""
    each = enumerate(orders(studio, None))
    wanted = [replace(order, seed=1000 + at) if at % len(SIZES) else order for at, order in each]
    return grouped(studio.draw(wanted))


def shared(studio: Studio) -> list[Bases]:
    """Each base from the centre of one field of noise."""
    return grouped(studio.draw(orders(studio, CANVAS)))


def scaled(studio: Studio) -> list[Bases]:
    """As `shared`, but the field is scaled to the shorter side: each cell of noise is the sum of a block of a finer field.

    Sums of blocks that don't overlap are white noise too, so that each base has noise of the usual kind.
    """
    cell = studio.stepwise.cell
    fine = math.lcm(*(min(size) // cell for size in SIZES))

    def noise(order: Order) -> torch.Tensor:
        width, height = order.width // cell, order.height // cell
        block = fine // min(width, height)
        longest = max(fine * max(size) // min(size) for size in SIZES)
        pick = torch.Generator("cpu").manual_seed(order.seed)
        field = torch.randn(1, studio.stepwise.channels, longest, longest, generator=pick)
        top, left = (longest - height * block) // 2, (longest - width * block) // 2
        window = field[:, :, top : top + height * block, left : left + width * block]
        return torch.nn.functional.avg_pool2d(window, block) * block

    return grouped(studio.draw(orders(studio, None), noise))


def from_first(strength: float) -> Callable[[Studio], list[Bases]]:
    """The first base, and the others from it, scaled and with its edges drawn out, under as much noise as `strength` says."""

    def draw(studio: Studio) -> list[Bases]:
        firsts = studio.draw(orders(studio, CANVAS)[:: len(SIZES)])
        others = studio.draw(
            [
                replace(order, source=Source(fitted(firsts[order.seed], (order.width, order.height)), strength))
                for order in orders(studio, CANVAS)
                if (order.width, order.height) != SIZES[0]
            ]
        )
        count = len(SIZES) - 1
        return [[first, *others[at * count : (at + 1) * count]] for at, first in enumerate(firsts)]

    return draw


def attended(studio: Studio) -> list[Bases]:
    """From the centre of one field of noise, and each step of the other bases attends to the first one's."""
    drawn = []
    for first, *others in grouped(orders(studio, CANVAS)):
        runs = [studio.begun(order) for order in (first, *others)]
        SharedAttention().draw(studio.stepwise, runs[0], runs[1:])
        drawn.append([studio.stepwise.decode(run.latents) for run in runs])
    return drawn


def orders(studio: Studio, canvas: tuple[int, int] | None) -> list[Order]:
    """Every prompt in every base size; the seed is the prompt's number."""
    each = enumerate(PROMPTS)
    return [studio.order(prompt, size, canvas, seed) for seed, prompt in each for size in SIZES]


def grouped(each: Sequence[Each]) -> list[list[Each]]:
    """What there is of each base, by prompt."""
    return [list(each[at : at + len(SIZES)]) for at in range(0, len(each), len(SIZES))]


def square(picture: Pixels) -> Pixels:
    """The central square of `picture`, SIDE pixels a side."""
    wide, high = picture.shape[1::-1]
    side = min(wide, high)
    top, left = (high - side) // 2, (wide - side) // 2
    cut = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """`picture`, a square, in another size: scaled to the shorter side, its edges drawn out over the rest."""
    side = min(size)
    scaled = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
    across, down = size[0] - side, size[1] - side
    return np.pad(scaled, ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0)), mode="edge")


def colours(picture: Pixels) -> NDArray[np.float64]:
    """How much of each colour is in each cell of the picture; sums to 1."""
    counts = []
    for band in np.array_split(picture // 64, CELLS, axis=0):
        for cell in np.array_split(band, CELLS, axis=1):
            numbers = cell[..., 0].astype(int) * 16 + cell[..., 1] * 4 + cell[..., 2]
            counts.append(np.bincount(numbers.ravel(), minlength=64))
    histogram = np.concatenate(counts).astype(np.float64)
    return histogram / histogram.sum()


@dataclass
class Likeness:
    """How alike two pictures of one size are; 1 is the same in all of them."""

    structure: float
    """SSIM of the lightness."""
    colour: float
    """Share that the colours of their cells have in common."""
    features: float
    """Cosine of what the denoiser sees in each place."""


def likeness(studio: Studio, one: Pixels, other: Pixels) -> Likeness:
    """Compares the squares of two pictures."""
    a, b = square(one), square(other)
    grey = [np.asarray(Image.fromarray(picture).convert("L")) for picture in (a, b)]
    places = torch.cosine_similarity(studio.features(a), studio.features(b), dim=1)
    common = np.minimum(colours(a), colours(b)).sum()
    return Likeness(float(structural_similarity(*grey)), float(common), float(places.mean()))


def summary(name: str, found: Sequence[Likeness], reference: Sequence[Likeness]) -> list[Cell]:
    """A row: means, and how often the features of a pair are more alike than those of the same pair drawn plainly."""
    measures = ("structure", "colour", "features")
    row: list[Cell] = [name, *(float(np.mean([getattr(one, measure) for one in found])) for measure in measures)]
    better = [one.features > other.features for one, other in zip(found, reference, strict=True)]
    row.append(float(np.mean(better)) if found is not reference else "")
    return row


def sheet(ways: dict[str, list[Bases]], path: Path) -> None:
    """Some prompts, a row each; the ways side by side, each with all its bases."""
    rows, gap = range(0, len(PROMPTS), len(PROMPTS) // 8), 8
    wide = sum(width for width, _ in SIZES) // 2 + gap * len(SIZES)
    high = max(height for _, height in SIZES) // 2 + gap
    page = Image.new("RGB", (wide * len(ways) + gap, high * len(rows) + 24), "white")
    pen = ImageDraw.Draw(page)
    for column, (name, drawn) in enumerate(ways.items()):
        pen.text((column * wide + gap, 6), name, fill="black")
        for line, number in enumerate(rows):
            left = column * wide + gap
            for picture in drawn[number]:
                image = Image.fromarray(picture).reduce(2)
                page.paste(image, (left, 24 + line * high + (high - gap - image.height) // 2))
                left += image.width + gap
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=80, method=6)


def main() -> None:
    """Draws, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, help="where to put some of the pictures")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="take only the first of the prompts")
    parser.add_argument("--guidance", type=float, default=MODEL.default_guidance_scale, help="the model's by default")
    wishes = parser.parse_args()
    del PROMPTS[wishes.prompts :]
    studio = Studio(wishes.guidance)
    usual = wishes.guidance == MODEL.default_guidance_scale
    ways: dict[str, Callable[[Studio], list[Bases]]] = {
        PLAIN: plain,
        "shared noise": shared,
        "shared noise, scaled": scaled,
        "shared noise and attention": attended,
        "the first base, strength 0.8": from_first(0.8),
        "other seeds": other_seeds,
    }
    drawn: dict[str, list[Bases]] = {}
    for name, way in ways.items():
        print(f"drawing: {name}", flush=True)
        drawn[name] = way(studio)
    pairs = {
        name: [likeness(studio, bases[0], other) for bases in all_bases for other in bases[1:]]
        for name, all_bases in drawn.items()
    }
    plainly = pairs[PLAIN]
    rows = [summary(name, found, plainly) for name, found in pairs.items()]
    strangers = zip(drawn[PLAIN], drawn[PLAIN][1:] + drawn[PLAIN][:1], strict=True)
    apart = [likeness(studio, bases[0], other) for bases, others in strangers for other in others[1:]]
    rows.append(summary("another prompt", apart, plainly))
    write(
        "coherence" if usual else f"coherence-guidance-{wishes.guidance:g}",
        "How alike the bases of a batch are",
        [
            "bases drawn from",
            "structure (SSIM)",
            "colours in common",
            "features (cosine)",
            "closer than plain",
        ],
        rows,
        f"{len(PROMPTS)} prompts in {', '.join(f'{wide}x{high}' for wide, high in SIZES)}, {STEPS} steps, guidance {wishes.guidance:g}; central squares, "
        f"scaled to {SIDE} pixels, against that of the first base. Features are those of the denoiser's innermost block. "
        "Other seeds and other prompts say how much there is to gain and to lose.",
    )
    if wishes.sheet is not None:
        sheet({name: bases for name, bases in drawn.items() if name != "other seeds"}, wishes.sheet)


if __name__ == "__main__":
    main()
