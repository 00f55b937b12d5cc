"""What crops keep of faces and subjects, on real photographs and on drawings: ours against the centre and what image servers offer.

    pip install "imajin[bench]" && python bench/focal.py [--sheets FOLDER] [--thumbor FILE]

Boxes are labelled by hand (photographs.json, drawings.json), not by a detector. Every crop is the largest of its aspect, so that ways
differ in nothing but the place. sharp's strategies `attention` and `entropy` are libvips'; the PyPI package smartcrop is smartcrop.js.
`--thumbor` names the program of an environment of its own (`pip install thumbor "opencv-python-headless<5"`): OpenCV 5 has no cascades.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image, ImageDraw

from drawings import WHOLE, Drawing, Way, drawings, row, shared
from imajin_servers.processing.crop import Box, plan
from imajin_servers.processing.focal.faces import face_finder
from imajin_servers.processing.focal.locate import locate
from imajin_servers.processing.focal.point import FaceFinder, Focus
from imajin_servers.processing.focal.saliency import salient_region
from imajin_servers.processing.settings import FocalSettings
from peers import Thumbor
from photographs import Photograph, photographs
from results import Cell, write

ASPECTS = ((1, 1), (16, 9), (9, 16), (4, 5), (3, 1))
SHOWN = ("face-recognition", "scikit-image", "scikit-learn")
"""Packages whose photographs may be shown: public domain, CC0 and CC-BY."""
CELLS = {(1, 1): (120, 120), (9, 16): (68, 120), (3, 1): (204, 68)}
"""Sizes of the crops in the sheet, in pixels."""
DRAWN = 4
"""Every how many drawings one is shown."""
THUMBOR = "Thumbor, faces and features"
WITHOUT = "imajin, without subjects"
SAID = ", ".join(f"{width}:{height}" for width, height in ASPECTS)
IN_SHEET = 5
"""How many ways are shown."""


def largest(size: tuple[int, int], aspect: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the largest part of `aspect`."""
    scale = min(size[0] / aspect[0], size[1] / aspect[1])
    return aspect[0] * scale, aspect[1] * scale


class Ours:
    """The server's own way; each photograph is looked at once. Without `subjects` what stands apart isn't measured."""

    def __init__(self, subjects: bool = True) -> None:
        self.subjects = subjects
        self.finder: FaceFinder = face_finder(FocalSettings().min_face_score)
        self.seen: dict[int, Focus] = {}
        self.seconds: list[float] = []

    def focus(self, photo: Photograph) -> Focus:
        """What is found in a photograph."""
        if id(photo) not in self.seen:
            began = time.process_time()
            found = locate(photo.pixels, self.finder)
            self.seconds.append(time.process_time() - began)
            if found.subjects and not self.subjects:
                found = replace(found, subjects=()) if found.method == "face" else salient_region(photo.pixels) or found
            self.seen[id(photo)] = found
        return self.seen[id(photo)]

    def __call__(self, photo: Photograph, aspect: tuple[int, int]) -> Box:
        focus, (width, height) = self.focus(photo), photo.pixels.size
        point = focus.x * width, focus.y * height
        faces = focus.boxes if focus.method == "face" else ()
        return plan((width, height), aspect, point, faces, 1e9, focus.subjects).box


def centre(photo: Photograph, aspect: tuple[int, int]) -> Box:
    """The middle."""
    width, height = largest(photo.pixels.size, aspect)
    return Box((photo.pixels.width - width) / 2, (photo.pixels.height - height) / 2, width, height)


def vips(interesting: str) -> Way:
    """`smartcrop` of libvips."""
    import pyvips

    def way(photo: Photograph, aspect: tuple[int, int]) -> Box:
        width, height = (max(1, round(side)) for side in largest(photo.pixels.size, aspect))
        image = pyvips.Image.new_from_array(np.asarray(photo.pixels))
        cut = image.smartcrop(width, height, interesting=interesting)
        return Box(-cut.xoffset, -cut.yoffset, cut.width, cut.height)

    return way


def smartcrop_js(photo: Photograph, aspect: tuple[int, int]) -> Box:
    """smartcrop.js, by its port to Python; it looks at no more than 256 px here, as its own command does."""
    from smartcrop import SmartCrop

    width, height = largest(photo.pixels.size, aspect)
    small = photo.pixels.copy()
    small.thumbnail((256, 256))
    scale = photo.pixels.width / small.width
    found = SmartCrop().crop(small, *(max(1, int(side)) for side in largest(small.size, aspect)), min_scale=1.0)
    left, top = found["top_crop"]["x"] * scale, found["top_crop"]["y"] * scale
    return Box(min(left, photo.pixels.width - width), min(top, photo.pixels.height - height), width, height)


def smart(server: Thumbor) -> Way:
    """Thumbor's smart crop: faces, profiles, else corners; it says itself where it cuts."""

    def way(photo: Photograph, aspect: tuple[int, int]) -> Box:
        width, height = (max(1, round(side)) for side in largest(photo.pixels.size, aspect))
        file = io.BytesIO()
        photo.pixels.save(file, "JPEG", quality=95)
        cut = server.cut(file.getvalue(), (width, height))
        # An aspect that differs from the photograph's by less than a hundredth is none to it.
        return centre(photo, aspect) if cut is None else Box(cut[0], cut[1], cut[2] - cut[0], cut[3] - cut[1])

    return way


def group(boxes: Sequence[Box]) -> Box:
    """The box around all."""
    left, top = min(box.left for box in boxes), min(box.top for box in boxes)
    return Box(left, top, max(box.right for box in boxes) - left, max(box.bottom for box in boxes) - top)


@dataclass
class Kept:
    """What the crops of one way keep."""

    area: list[float]
    whole: list[bool]
    possible: list[bool]
    one_whole: list[bool]
    subject: list[float]

    def row(self, task: str, way: str) -> list[Cell]:
        """A row of the table, in percent."""
        if self.subject:
            return [task, way, 100 * mean(self.subject), "", "", ""]
        fitting = [whole for whole, possible in zip(self.whole, self.possible, strict=True) if possible]
        shares = (mean(self.area), mean(self.whole), mean(fitting) if fitting else 0.0, mean(self.one_whole))
        return [task, way, *(100 * share for share in shares)]


def kept(photos: Sequence[Photograph], way: Way, aspects: Sequence[tuple[int, int]]) -> Kept:
    """What `way` keeps of photographs in all aspects."""
    found = Kept([], [], [], [], [])
    for photo in photos:
        for aspect in aspects:
            cut = way(photo, aspect)
            if photo.subject is not None:
                width, height = largest(photo.pixels.size, aspect)
                # Of a subject larger than the crop, all that fits is all that can be kept.
                fits = min(1.0, width / photo.subject.width) * min(1.0, height / photo.subject.height)
                found.subject.append(shared(photo.subject, cut) / fits)
                continue
            areas = [face.width * face.height for face in photo.faces]
            shares = [shared(face, cut) for face in photo.faces]
            all_of_them = group(photo.faces)
            found.area.append(sum(area * share for area, share in zip(areas, shares, strict=True)) / sum(areas))
            found.whole.append(all(share >= WHOLE for share in shares))
            found.one_whole.append(any(share >= WHOLE for share in shares))
            found.possible.append(all_of_them.width <= cut.width and all_of_them.height <= cut.height)
    return found


def sheet(wanted: Sequence[Photograph], ways: dict[str, Way], path: Path) -> None:
    """Draws the crops side by side: the photograph with its labelled boxes in green, then each way's crops."""
    gap, high = 4, 120
    wide = sum(width + gap for width, _ in CELLS.values()) + 3 * gap
    canvas = Image.new("RGB", (190 + wide * len(ways), 18 + (high + gap) * len(wanted)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, name in enumerate(ways):
        draw.text((190 + column * wide, 2), name, fill="black", font_size=13)
    for line, photo in enumerate(wanted):
        top = 18 + line * (high + gap)
        marked = photo.pixels.copy()
        pen = ImageDraw.Draw(marked)
        for box in (*photo.faces, *([photo.subject] if photo.subject else [])):
            stroke = max(2, marked.width // 120)
            pen.rectangle((box.left, box.top, box.right, box.bottom), outline=(0, 230, 60), width=stroke)
        marked.thumbnail((180, high))
        canvas.paste(marked, (0, top))
        for column, way in enumerate(ways.values()):
            left = 190 + column * wide
            for aspect, size in CELLS.items():
                cut = way(photo, aspect)
                place = (cut.left, cut.top, min(cut.right, photo.pixels.width), min(cut.bottom, photo.pixels.height))
                canvas.paste(photo.pixels.resize(size, Image.Resampling.LANCZOS, box=place), (left, top))
                left += size[0] + gap
    canvas.save(path, quality=70)


def of_photographs(photos: Sequence[Photograph], ours: Ours, ways: dict[str, Way]) -> None:
    """Writes the table of photographs."""
    with_faces, without = [p for p in photos if p.faces], [p for p in photos if not p.faces]
    several = [photo for photo in with_faces if len(photo.faces) > 1]
    tasks = {
        f"{len(with_faces)} with {sum(len(p.faces) for p in with_faces)} faces": with_faces,
        f"{len(several)} of them with several": several,
        f"{len(without)} without a face": without,
    }
    rows = [kept(some, way, ASPECTS).row(task, name) for task, some in tasks.items() for name, way in ways.items()]
    found = sum(ours.focus(photo).method == "face" for photo in with_faces)
    wrong = [photo.name for photo in without if ours.focus(photo).method == "face"]
    note = (
        f"Crops in {SAID}, each the largest of its aspect. A face counts as whole from {WHOLE:.0%} of its "
        f"labelled box. Of a subject, the part of what fits is counted. Faces were found in {found} of {len(with_faces)} photographs that "
        f"have some, and in {len(wrong)} of {len(without)} that have none ({', '.join(wrong) or 'none'}); "
        f"looking took {1000 * mean(ours.seconds):.0f} ms of CPU a photograph. "
        + ("" if THUMBOR in ways else "Thumbor was not here to be compared with.")
    )
    columns = [
        "photographs",
        "way",
        "area kept, %",
        "every face whole, %",
        "every face whole where all fit, %",
        "one whole, %",
    ]
    write("focal", "What crops keep", columns, rows, note)


def of_drawings(drawn: Sequence[Drawing], ways: dict[str, Way]) -> None:
    """Writes the table of drawings."""
    chosen, out = [d for d in drawn if not d.held_out], [d for d in drawn if d.held_out]
    tasks = {f"{len(chosen)} drawings": chosen, f"{len(out)} held out": out}
    rows = [row(task, name, some, way, ASPECTS) for task, some in tasks.items() for name, way in ways.items()]
    note = (
        f"Crops in {SAID}, each the largest of its aspect, of pictures that the embedded model drew: 320 x 192 and 192 x 320. Whole is from {WHOLE:.0%} "
        f"of the labelled box; `kept` counts of what fits. Parameters were chosen without those held out. "
        f"{WITHOUT!r} is the server's way as it would be if it didn't measure what stands apart."
    )
    columns = [
        "drawings",
        "way",
        "subject kept, %",
        "subject whole where it fits, %",
        "head kept, %",
        "head whole where it fits, %",
    ]
    write("focal_drawings", "What crops keep of drawings", columns, rows, note)


def main() -> None:
    """Runs everything and writes the tables, and the sheets where a folder is given for them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sheets", type=Path, help="folder for focal-crops.webp and focal-drawings.webp")
    parser.add_argument("--thumbor", default="", help="thumbor's program")
    given = parser.parse_args()
    photos, drawn, ours = photographs(), drawings(), Ours()
    ways: dict[str, Way] = {"imajin": ours, "centre": centre}
    with ExitStack() as stack:
        if given.thumbor:
            server = Thumbor(given.thumbor, ("face", "profile", "feature"))
            stack.callback(server.close)
            ways[THUMBOR] = smart(server)
        ways |= {
            "libvips attention (sharp's too)": vips("attention"),
            "libvips entropy (sharp's too)": vips("entropy"),
            "smartcrop.js": smartcrop_js,
        }
        of_photographs(photos, ours, ways)
        of_drawings(drawn, {"imajin": ours, WITHOUT: Ours(subjects=False), **ways})
        if given.sheets:
            shown = {name: ways[name] for name in list(ways)[:IN_SHEET]}
            sheet([photo for photo in photos if photo.package in SHOWN], shown, given.sheets / "focal-crops.webp")
            sheet([d.picture for d in drawn[::DRAWN]], shown, given.sheets / "focal-drawings.webp")


if __name__ == "__main__":
    main()
