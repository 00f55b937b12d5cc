"""Faces by MediaPipe's full-range detector."""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import numpy as np
import structlog
from PIL import Image

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.point import Face, FaceFinder
from imajin_servers.processing.resize import BILINEAR, resample

MODEL = "face_detection_full_range_sparse.tflite"
MODEL_SHA256 = "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
INPUT = 384
"""Longest side, in pixels, of what is handed to the detector. It looks at 192 x 192 whatever it is given."""
OVERLAP = 0.25
"""How far neighbouring squares reach into each other, as a fraction of their side: a face on a seam is whole in one."""
LONG = 1.25
"""Aspect above which an image is also looked at in squares of its short side."""
CLOSE_SCORE = 0.8
"""Least score of a face that only a close look shows: many looks see more that is none."""
CLOSE_SIDE = 512
"""Least short side, in pixels, of an image that is worth a close look."""
SAME = 0.3
"""Boxes that share more than this part of their union are one face."""

log = structlog.get_logger()


def face_finder(min_score: float) -> FaceFinder:
    """MediaPipe's detector, or one that finds nothing where MediaPipe can't be loaded (it needs libEGL and libGLESv2)."""
    try:
        return MediapipeFaces(min_score)
    except (ImportError, OSError, RuntimeError) as error:
        log.warning(
            "face detection is off: focal points come from saliency",
            reason=str(error),
            hint="install libegl1 and libgles2",
        )
        return NoFaces()


class NoFaces:
    """Finds no face."""

    def find(self, image: Image.Image) -> Sequence[Face]:
        """Nothing."""
        return ()

    def close(self) -> None:
        """Nothing to free."""


class MediapipeFaces:
    """The detector with its model, which ships with this package. Raises OSError or ImportError where it can't be loaded."""

    def __init__(self, min_score: float) -> None:
        from mediapipe.tasks.python.core.base_options import BaseOptions  # type: ignore[import-untyped]
        from mediapipe.tasks.python.vision import FaceDetector, FaceDetectorOptions  # type: ignore[import-untyped]

        options = FaceDetectorOptions(
            base_options=BaseOptions(model_asset_buffer=model()), min_detection_confidence=min_score
        )
        # The detector is not made for several threads at once; it takes 5 to 9 ms.
        self.lock = threading.Lock()
        with quiet():
            self.detector = FaceDetector.create_from_options(options)
            self.look(Image.new("RGB", (64, 64)))

    def close(self) -> None:
        """Frees the detector."""
        with quiet():
            self.detector.close()

    def find(self, image: Image.Image) -> Sequence[Face]:
        """The faces of an image.

        The detector finds faces from about 8% of the side of what it sees. So it sees the whole, then squares of the
        short side where the image is long, and where none of them shows a face, squares of half the short side.
        """
        short = min(image.size)
        found = self.look(image)
        if max(image.size) > LONG * short:
            found += self.look_at_squares(image, short)
        if not found and short >= CLOSE_SIDE:
            found = [face for face in self.look_at_squares(image, short // 2) if face.score >= CLOSE_SCORE]
        return distinct(found)

    def look_at_squares(self, image: Image.Image, side: int) -> list[Face]:
        """The faces in overlapping squares that cover an image."""
        found: list[Face] = []
        for top in starts(image.height, side):
            for left in starts(image.width, side):
                for face in self.look(image.crop((left, top, left + side, top + side))):
                    box = Box(face.box.left + left, face.box.top + top, face.box.width, face.box.height)
                    found.append(Face(box, face.score))
        return found

    def look(self, image: Image.Image) -> list[Face]:
        """The faces in one look."""
        from mediapipe import Image as MediapipeImage  # type: ignore[import-untyped]
        from mediapipe import ImageFormat

        scale = min(1.0, INPUT / max(image.size))
        pixels = np.ascontiguousarray(np.asarray(scaled(image, scale)))
        with self.lock:
            found = self.detector.detect(MediapipeImage(image_format=ImageFormat.SRGB, data=pixels))
        return [face for face in (face_of(item, scale, image.size) for item in found.detections) if face is not None]


@contextmanager
def quiet() -> Iterator[None]:
    """Standard error goes nowhere: the detector's native code writes 60 lines there when it starts, and knows no switch."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def model() -> bytes:
    """The model file. Raises OSError when it is not the one that was tested."""
    data = (resources.files("imajin_servers.processing.focal") / "models" / MODEL).read_bytes()
    if hashlib.sha256(data).hexdigest() != MODEL_SHA256:
        raise OSError(f"{MODEL} does not have the SHA-256 that it should have")
    return data


def face_of(found: Any, scale: float, size: tuple[int, int]) -> Face | None:
    """A detection as a face in pixels of an image of `size` that was looked at reduced by `scale`; None outside of it."""
    raw = found.bounding_box
    left, top = max(0.0, raw.origin_x / scale), max(0.0, raw.origin_y / scale)
    right = min(float(size[0]), (raw.origin_x + raw.width) / scale)
    bottom = min(float(size[1]), (raw.origin_y + raw.height) / scale)
    if right <= left or bottom <= top:
        return None
    return Face(Box(left, top, right - left, bottom - top), float(found.categories[0].score))


def scaled(image: Image.Image, scale: float) -> Image.Image:
    """`image` reduced by `scale`."""
    if scale >= 1:
        return image
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return resample(image, width, height, (0.0, 0.0, float(image.width), float(image.height)), BILINEAR)


def starts(length: int, side: int) -> list[int]:
    """Where squares of `side` begin on an axis of `length`, so that they cover it and overlap."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return [round(index * (length - side) / (count - 1)) for index in range(count)]


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
