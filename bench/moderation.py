"""What moderation refuses: prompt rules on safe and unsafe prompts, the image classifier on safe photographs and pictures.

    python bench/moderation.py

The prompts (moderation_prompts.toml) were written beside the rules and show what the rules are meant for; the unseen ones were
written afterwards by the same hand. Pictures are 200 of the embedded model's, photographs those of photographs.json. No unsafe image is looked at here:
what the classifier finds is its authors' to say (open_nsfw, Yahoo 2016).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from imajin_servers.diffusion.moderation import Images, Prompts
from imajin_servers.diffusion.settings import EMBEDDED, ModerationSettings
from imajin_servers.processing.focal.faces import face_finder
from imajin_servers.processing.focal.locate import locate
from imajin_servers.processing.settings import FocalSettings
from imajin_servers.runtime.errors import ContentRejected
from photographs import CACHE, photographs
from results import Cell, write

PROMPTS = Path(__file__).with_name("moderation_prompts.toml")
PICTURES, BATCH, STEPS = 200, 8, 12
PEOPLE = ("faces", "people")
LEVELS = ("off", "standard", "strict")


def prompt_rows() -> tuple[list[list[Cell]], list[str]]:
    """Refusals of every list at every level, and what the default level does that it shouldn't."""
    known = tomllib.loads(PROMPTS.read_text())
    lists: dict[str, list[str]] = {"safe": known["safe"], "safe, unseen": known["unseen_safe"]}
    lists |= {f"unsafe, {name.replace('_', ' ')}": prompts for name, prompts in known["unsafe"].items()}
    rows: list[list[Cell]] = []
    wrong = []
    for name, prompts in lists.items():
        row: list[Cell] = [name, len(prompts)]
        for level in LEVELS:
            rules = Prompts(level)  # type: ignore[arg-type]
            refused = [prompt for prompt in prompts if rules.broken(prompt) is not None]
            row.append(f"{len(refused)} ({len(refused) / len(prompts):.1%})")
            if level == ModerationSettings().level:
                wrong += [p for p in prompts if (p in refused) == name.startswith("safe")]
        rows.append(row)
    return rows, wrong


def things() -> list[tuple[str, bool]]:
    """What the embedded model draws, and whether it is a person or a face."""
    concepts = json.loads((EMBEDDED / "vocabulary.json").read_text())["concepts"]
    return [(name, group in PEOPLE) for group, names in concepts.items() for name in names]


def pictures() -> Iterator[tuple[Image.Image, bool]]:
    """200 pictures of the embedded model, and whether each shows a person or a face; kept for the next run."""
    folder = CACHE / "embedded-pictures"
    folder.mkdir(parents=True, exist_ok=True)
    chosen = list(islice(cycle(things()), PICTURES))
    pipeline: Any = None
    for first in range(0, PICTURES, BATCH):
        part = chosen[first : first + BATCH]
        paths = [folder / f"{first + place:03}.png" for place in range(len(part))]
        if not all(path.exists() for path in paths):
            if pipeline is None:
                from diffusers import DiffusionPipeline

                pipeline = DiffusionPipeline.from_pretrained(EMBEDDED, torch_dtype=torch.float32)
                pipeline.set_progress_bar_config(disable=True)
            made = pipeline(
                [name for name, _ in part],
                num_inference_steps=STEPS,
                guidance_scale=3.5,
                generator=[torch.Generator().manual_seed(first + place) for place in range(len(part))],
            ).images
            for image, path in zip(made, paths, strict=True):
                image.save(path)
        for path, (_, person) in zip(paths, part, strict=True):
            yield Image.open(path).convert("RGB"), person


def scores(images: Sequence[Image.Image]) -> list[float]:
    """What the classifier gives to each image."""
    classifier = Images("required", 1.0)
    found = []
    for image in images:
        try:
            found.append(classifier.check(image).score)
        except ContentRejected:
            found.append(1.0)
    return found


def image_row(name: str, images: Sequence[Image.Image], threshold: float) -> list[Cell]:
    """A row of the table of images."""
    found = np.array(scores(images))
    above = [f"{int((found >= least).sum())} ({(found >= least).mean():.1%})" for least in (0.3, 0.5, threshold)]
    return [name, len(images), *above, float(np.median(found)), float(found.max())]


def main() -> None:
    """Runs everything and writes two tables."""
    torch.set_num_threads(1)
    settings = ModerationSettings()
    rows, wrong = prompt_rows()
    note = (
        f"Refused at each level; `{settings.level}` is the default. Wrong at the default level: {'; '.join(wrong) or 'none'}. "
        "The rules were made with the lists. The unseen ones came after them: of those unsafe the rules refused 28 of 37, of those safe 0 of 45, "
        "before what they missed was added to them; expect that of strangers, not 100%. Safe prompts are chosen to be tricky: words that lie in others, names of places, animals, art, medicine, 16 languages."
    )
    write("moderation_prompts", "What the prompt rules refuse", ["prompts", "of", *LEVELS], rows, note)
    photos = photographs()
    drawn = list(pictures())
    people = [image for image, person in drawn if person]
    tables = [
        image_row("photographs", [photo.pixels for photo in photos], settings.threshold),
        image_row("pictures of the embedded model", [image for image, _ in drawn], settings.threshold),
    ]
    ranked = sorted(zip(scores([photo.pixels for photo in photos]), [photo.name for photo in photos], strict=True))[-3:]
    finder = face_finder(FocalSettings().min_face_score)
    faces = sum(locate(image, finder).method == "face" for image in people)
    others = [image for image, person in drawn if not person]
    strays = sum(locate(image, finder).method == "face" for image in others)
    note = (
        f"All are safe: what is above the threshold ({settings.threshold}) is a false refusal. Highest of the photographs: "
        f"{', '.join(f'{name} {score:.2f}' for score, name in reversed(ranked))}. "
        f"The face finder, made for photographs, finds a face in {faces} of {len(people)} pictures of people and faces that the "
        f"embedded model drew, and in {strays} of {len(others)} of other things."
    )
    columns = ["images", "of", "0.3 and above", "0.5 and above", f"{settings.threshold} and above", "median", "highest"]
    write("moderation", "What the image classifier says of safe images", columns, tables, note)


if __name__ == "__main__":
    main()
