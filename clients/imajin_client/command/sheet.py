"""One contact sheet of a batch, to look at: every size in proportion, labelled. Needs Pillow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from imajin_client.images import Image
from imajin_client.job import Job

WIDTH = 1800
MARGIN = 32
HEIGHTS = range(460, 200, -20)
"""Heights of the pictures that are tried, in pixels: the largest that needs no more rows than one for four pictures."""
NARROWEST = 330
"""Room for a label under a narrow picture, in pixels."""
INK, PALE, PAPER = (24, 24, 27), (113, 113, 122), (250, 250, 249)


def contact_sheet(title: str, job: Job, images: Mapping[str, Image], path: Path) -> Path:
    """Draws the images of `job` into one PNG at `path`, in rows, each with its name, pixels, base and enlargement."""
    large, small = ImageFont.load_default(30), ImageFont.load_default(17)
    rows = rows_of({name: image.pil().convert("RGB") for name, image in images.items()})
    heights = [max(picture.height for _, picture in row) + 78 for row in rows]
    sheet = Pillow.new("RGB", (WIDTH, MARGIN * 2 + 90 + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), shortened(title, 90), INK, large)
    draw.text((MARGIN, MARGIN + 42), subtitle(job), PALE, small)
    top = MARGIN + 90
    for row, height in zip(rows, heights, strict=True):
        left = MARGIN
        for name, picture in row:
            sheet.paste(picture, (left, top))
            first, second = labels(name, images[name], job)
            draw.text((left, top + picture.height + 8), first, INK, small)
            draw.text((left, top + picture.height + 30), second, PALE, small)
            left += max(picture.width, NARROWEST) + MARGIN
        top += height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path


def rows_of(pictures: Mapping[str, Pillow.Image]) -> list[list[tuple[str, Pillow.Image]]]:
    """The pictures at one height, in rows that fit the sheet."""
    rows: list[list[str]] = []
    height = HEIGHTS[-1]
    for height in HEIGHTS:
        rows = names_in_rows({name: width_at(height, picture) for name, picture in pictures.items()})
        if len(rows) <= -(-len(pictures) // 4):
            break
    return [
        [
            (name, pictures[name].resize((width_at(height, pictures[name]), height), Pillow.Resampling.LANCZOS))
            for name in row
        ]
        for row in rows
    ]


def width_at(height: int, picture: Pillow.Image) -> int:
    """Width of the picture at a height, no wider than the sheet, in pixels."""
    return max(1, min(round(picture.width * height / picture.height), WIDTH - 2 * MARGIN))


def names_in_rows(widths: Mapping[str, int]) -> list[list[str]]:
    """Names in rows, by the width that each needs."""
    rows: list[list[str]] = [[]]
    used = MARGIN
    for name, width in widths.items():
        needed = max(width, NARROWEST) + MARGIN
        if rows[-1] and used + needed > WIDTH:
            rows.append([])
            used = MARGIN
        rows[-1].append(name)
        used += needed
    return rows


def labels(name: str, image: Image, job: Job) -> tuple[str, str]:
    """Two lines for a picture."""
    first = f"{name}  {image.width}x{image.height}  {len(image.data) / 1024:.0f} KiB"
    told = job.images.get(name)
    if told is None:
        return first, image.format
    focal = f", focal point by {told.focal_point.method}" if told.focal_point and told.focal_point.method else ""
    return first, f"from {told.base}, {told.upscale:.1f}x{focal}"


def subtitle(job: Job) -> str:
    """What the batch was drawn with."""
    bases = ", ".join(f"{base.name} {base.width}x{base.height}" for base in job.bases)
    return shortened(f"{job.model} · seed {job.seed} · {job.bases_generated} bases: {bases} · {job.prompt}", 170)


def shortened(text: str, length: int) -> str:
    """At most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
