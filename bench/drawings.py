"""What crops keep of drawings: pictures of the model that ships, with their subjects and heads boxed by hand (`drawings.json`).

They lie in one file, `drawings.webp`, for their model is trained anew now and then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from PIL import Image

from imajin_servers.processing.crop import Box
from photographs import Photograph, box
from results import Cell

LABELS = Path(__file__).with_suffix(".json")
WHOLE = 0.97
"""Something is whole from this part on: boxes by hand are a little loose."""
Way = Callable[[Photograph, tuple[int, int]], Box]


@dataclass(frozen=True)
class Drawing:
    """A drawing, as a photograph without faces; the box of its head, where it has one; whether parameters were chosen without it."""

    picture: Photograph
    head: Box | None
    held_out: bool


def drawings() -> list[Drawing]:
    """All of them."""
    sheet = Image.open(LABELS.with_suffix(".webp")).convert("RGB")
    found = []
    for entry in json.loads(LABELS.read_text())["drawings"]:
        left, top, width, height = entry["place"]
        pixels = sheet.crop((left, top, left + width, top + height))
        picture = Photograph(entry["prompt"], "embedded", pixels, (), box(entry["subject"], pixels.size))
        head = box(entry["head"], pixels.size) if "head" in entry else None
        found.append(Drawing(picture, head, entry.get("held_out", False)))
    return found


def shared(box: Box, cut: Box) -> float:
    """The part of `box` that lies in `cut`."""
    width = min(box.right, cut.right) - max(box.left, cut.left)
    height = min(box.bottom, cut.bottom) - max(box.top, cut.top)
    return max(0.0, width) * max(0.0, height) / (box.width * box.height)


@dataclass
class Parts:
    """Of boxes, the parts that crops keep: of what fits, and whether all is kept where all fits."""

    of_what_fits: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def add(self, box: Box, cut: Box) -> None:
        """Counts one crop."""
        fits = min(1.0, cut.width / box.width) * min(1.0, cut.height / box.height)
        self.of_what_fits.append(shared(box, cut) / fits)
        if fits == 1:
            self.whole.append(float(shared(box, cut) >= WHOLE))

    def shares(self) -> list[Cell]:
        """Both, in percent."""
        return [100 * mean(self.of_what_fits), 100 * mean(self.whole)]


def row(task: str, name: str, some: Sequence[Drawing], way: Way, aspects: Sequence[tuple[int, int]]) -> list[Cell]:
    """A row of the table: what `way` keeps of subjects and of heads in all aspects."""
    subjects, heads = Parts(), Parts()
    for drawing in some:
        for aspect in aspects:
            cut = way(drawing.picture, aspect)
            assert drawing.picture.subject is not None
            subjects.add(drawing.picture.subject, cut)
            if drawing.head is not None:
                heads.add(drawing.head, cut)
    return [task, name, *subjects.shares(), *heads.shares()]
