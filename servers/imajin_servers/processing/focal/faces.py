"""Faces: how a detector that looks at a small square finds them in images of any size and shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import structlog
from PIL import Image

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.litert import LitertLooker
from imajin_servers.processing.focal.point import Face, FaceFinder, Looker

OVERLAP = 0.25
"""How far neighbouring squares reach into each other, as a fraction of their side: a face on a seam is whole in one."""
LONG = 1.25
"""Aspect above which an image is also looked at in squares of its short side."""
CLOSE_SCORE = 0.8
"""Least score of a face that only a close look shows: many looks see more that is none."""
CLOSE_SIDE = 512
"""Least short side, in pixels, of an image that is worth a close look."""
LARGE = 0.12
"""Part of an image's long side from which a face is large enough to be seen in the whole."""
WEAK = 0.85
"""Part of the least score that is enough beside a face of `CLOSE_SCORE`."""
SAME = 0.3
"""Boxes that share more than this part of their union are one face."""
SUSPECT = 0.35
"""Least score of what looks somewhat like a face: heads that are drawn, and of animals, often get that much; so does some foliage."""

log = structlog.get_logger()


def face_finder(min_score: float) -> FaceFinder:
    """Finds faces by LiteRT; where it can't be loaded, finds none and says so in the log."""
    try:
        return Faces(LitertLooker(), min_score)
    except (ImportError, OSError, RuntimeError) as error:
        log.warning(
            "face detection is off: focal points come from saliency",
            reason=str(error),
            hint="pip install ai-edge-litert",
        )
        return NoFaces()


class NoFaces:
    """Finds no face."""

    def find(self, image: Image.Image) -> Sequence[Face]:
        """Nothing."""
        return ()

    def suspect(self, image: Image.Image) -> Sequence[Face]:
        """Nothing."""
        return ()

    def close(self) -> None:
        """Nothing to free."""


class Faces:
    """Finds faces by looking at the whole of an image and at parts of it."""

    def __init__(self, looker: Looker, min_score: float) -> None:
        self.looker = looker
        self.min_score = min_score

    def find(self, image: Image.Image) -> Sequence[Face]:
        """The faces of an image.

        The detector finds faces from about 8% of the side of what it sees. So it sees the whole, then squares of the
        short side where the image is long, and where none of them shows a face, squares of half the short side.
        """
        short = min(image.size)
        seen = self.looker.look(image, WEAK * self.min_score)
        if max(image.size) > LONG * short:
            large = LARGE * max(image.size)
            seen += [
                face
                for face in self.look_at_squares(image, short, WEAK * self.min_score)
                # What is large enough for the first look, and was not even suspected there, is seldom a face.
                if max(face.box.width, face.box.height) < large
                or face.score >= CLOSE_SCORE
                or any(overlap(face.box, other.box) >= SAME for other in seen)
            ]
        found = in_company(distinct(seen), self.min_score)
        if not found and short >= CLOSE_SIDE:
            close = self.look_at_squares(image, short // 2, WEAK * self.min_score)
            found = distinct([face for face in close if face.score >= CLOSE_SCORE])
        return found

    def suspect(self, image: Image.Image) -> Sequence[Face]:
        """What looks somewhat like a face, in the whole and, where the image is long, in squares of the short side."""
        short = min(image.size)
        seen = self.looker.look(image, SUSPECT)
        if max(image.size) > LONG * short:
            seen += self.look_at_squares(image, short, SUSPECT)
        return distinct(seen)

    def look_at_squares(self, image: Image.Image, side: int, min_score: float) -> list[Face]:
        """The faces in overlapping squares that cover an image."""
        found: list[Face] = []
        for top in starts(image.height, side):
            for left in starts(image.width, side):
                for face in self.looker.look(image.crop((left, top, left + side, top + side)), min_score):
                    box = Box(face.box.left + left, face.box.top + top, face.box.width, face.box.height)
                    found.append(Face(box, face.score))
        return found

    def close(self) -> None:
        """Frees the detector."""
        self.looker.close()


def starts(length: int, side: int) -> list[int]:
    """Where squares of `side` begin on an axis of `length`, so that they cover it and overlap."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


def in_company(faces: Sequence[Face], min_score: float) -> list[Face]:
    """The faces that are sure enough; beside a very sure one, less sure ones of about its size are too: a group, a profile."""
    leaders = [face.box.height for face in faces if face.score >= CLOSE_SCORE]
    return [
        face
        for face in faces
        if face.score >= min_score or any(0.5 <= face.box.height / height <= 2 for height in leaders)
    ]


def distinct(faces: Sequence[Face]) -> list[Face]:
    """One of each: the surest of the boxes that lie over each other."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) < SAME for other in kept):
            kept.append(face)
    return kept


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)
