"""Draws docs/images/edits.webp: what strengths and masks do to a picture, by the client of a running suite.

make up                                       # in another shell
python bench/edits.py docs/images/edits.webp
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw

from imajin_client import Client

SIDE, GAP, LINE = 256, 8, 22
SEED = 7


def opened(data: bytes) -> Image.Image:
    """The picture in `data`."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def png(picture: Image.Image) -> bytes:
    """`picture` as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def seen(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """`picture` with the mask laid over it."""
    return Image.composite(Image.blend(picture, Image.new("RGB", picture.size, "magenta"), 0.5), picture, mask)


def row_of_strengths(imajin: Client) -> list[tuple[str, Image.Image]]:
    """An apple, and lemons drawn from it."""
    apple = opened(drawn(imajin, "a red apple"))
    row = [("a red apple", apple)]
    for strength in (0.2, 0.4, 0.6, 0.8, 1.0):
        lemon = imajin.edit(png(apple), "a lemon", strength=strength, seed=SEED)
        row.append((f"a lemon, strength {strength:g}", opened(lemon.data)))
    return row


def row_of_masks(imajin: Client) -> list[tuple[str, Image.Image]]:
    """A cat, and what is painted into it."""
    cat = opened(drawn(imajin, "a cat on a white background"))
    hole, half = Image.new("L", cat.size), Image.new("L", cat.size)
    ImageDraw.Draw(hole).ellipse((74, 50, 194, 170), fill=255)
    half.paste(255, (SIDE // 2, 0, SIDE, SIDE))
    row = [("a cat on a white background", cat), ("the mask", seen(cat, hole))]
    for title, mask, prompt, strength in (
        ("in the mask: a tiger", hole, "a tiger", None),
        ("in the mask: a red heart", hole, "a red heart", None),
        ("right half: a dog", half, "a dog on a white background", None),
        ("right half: a dog, strength 0.6", half, "a dog on a white background", 0.6),
    ):
        made = imajin.edit(png(cat), prompt, mask=png(mask.convert("RGB")), strength=strength, seed=SEED)
        row.append((title, opened(made.data)))
    return row


def drawn(imajin: Client, prompt: str) -> bytes:
    """A picture to begin from."""
    return imajin.generate(prompt, width=SIDE, height=SIDE, seed=SEED, skip_processing=True).data


def main() -> None:
    """Draws all, and writes the sheet."""
    with Client() as imajin:
        rows = [row_of_strengths(imajin), row_of_masks(imajin)]
    page = Image.new("RGB", ((SIDE + GAP) * len(rows[0]), (SIDE + LINE + GAP) * len(rows)), "white")
    pen = ImageDraw.Draw(page)
    for line, row in enumerate(rows):
        for column, (title, picture) in enumerate(row):
            left, top = column * (SIDE + GAP), line * (SIDE + LINE + GAP)
            pen.text((left + 2, top + 4), title, fill="black")
            page.paste(picture, (left, top + LINE))
    page.save(Path(sys.argv[1]), quality=85, method=6)


if __name__ == "__main__":
    main()
