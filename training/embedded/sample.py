"""Draw prompts with an exported pipeline and lay them out as a labelled sheet."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from PIL import Image, ImageDraw, ImageFont

Labelled = tuple[str, Image.Image]


def load(directory: Path, threads: int = 1) -> DiffusionPipeline:
    """The pipeline in float32, silent."""
    torch.set_num_threads(threads)
    pipeline = DiffusionPipeline.from_pretrained(directory, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(
    pipeline: DiffusionPipeline, prompts: list[str], size: tuple[int, int] = (256, 256), seed: int = 0, steps: int = 20, guidance: float = 3.5,
    rescale: float = 0.0, batch: int = 8,
) -> list[Image.Image]:  # fmt: skip
    """One picture (width, height = `size`) a prompt; prompt i is drawn with seed + i whatever the batch."""
    out: list[Image.Image] = []
    for k in range(0, len(prompts), batch):
        some = prompts[k : k + batch]
        generators = [torch.Generator().manual_seed(seed + k + i) for i in range(len(some))]
        result = pipeline(
            some,
            width=size[0],
            height=size[1],
            num_inference_steps=steps,
            guidance_scale=guidance,
            guidance_rescale=rescale,
            generator=generators,
        )
        out += result.images
    return out


def sheet(pictures: list[Labelled], columns: int, cell: int = 192) -> Image.Image:
    """A grid of pictures, each above its label, in cells of `cell` pixels."""
    font = ImageFont.load_default(12)
    rows = -(-len(pictures) // columns)
    out = Image.new("RGB", (columns * cell, rows * (cell + 34)), "white")
    pen = ImageDraw.Draw(out)
    for n, (label, picture) in enumerate(pictures):
        x, y = n % columns * cell, n // columns * (cell + 34)
        small = picture.copy()
        small.thumbnail((cell - 6, cell - 6), Image.Resampling.LANCZOS)
        out.paste(small, (x + (cell - small.width) // 2, y + (cell - small.height) // 2))
        words, lines = label.split(), [""]
        for word in words:
            if pen.textlength(f"{lines[-1]} {word}", font=font) > cell - 8:
                lines.append(word)
            else:
                lines[-1] = f"{lines[-1]} {word}".strip()
        for k, line in enumerate(lines[:2]):
            pen.text((x + 4, y + cell + 14 * k), line, fill="black", font=font)
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("W", "H"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.5)
    parser.add_argument("prompts", nargs="+")
    args = parser.parse_args()
    pictures = draw(load(args.dir), args.prompts, tuple(args.size), args.seed, args.steps, args.guidance)
    sheet(list(zip(args.prompts, pictures, strict=True)), args.columns).save(args.out)


if __name__ == "__main__":
    main()
