"""One look of the face detector, by LiteRT: a wheel of 22 MB that needs nothing of the host."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
from PIL import Image

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.model import model
from imajin_servers.processing.focal.point import Face
from imajin_servers.processing.focal.quiet import quiet
from imajin_servers.processing.resize import BILINEAR, resample

INPUT = 192
"""Side, in pixels, of what the model looks at."""
GRID = 48
"""The model answers for each cell of a grid of this side: is there a face, and where."""
SAME = 0.3
"""Answers whose boxes share more than this part of their union mean one face."""

Floats = npt.NDArray[np.float32]


class LitertLooker:
    """Looks by LiteRT. Raises ImportError where it is not installed, OSError when the model file is another one.

    The boxes are coded as in MediaPipe's graph of this model (face_detection_full_range.pbtxt): one anchor in the middle
    of each cell; centre and size in pixels of the input, the centre relative to the anchor.
    """

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]

        # The interpreter holds the tensors of one look.
        self.lock = threading.Lock()
        with quiet():
            self.interpreter = Interpreter(model_content=model(), num_threads=1)
            self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = {item["shape"][-1]: item["index"] for item in self.interpreter.get_output_details()}
        self.boxes, self.scores = outputs[16], outputs[1]
        rows, columns = np.mgrid[0:GRID, 0:GRID]
        self.anchors = (np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) * (INPUT / GRID)

    def look(self, image: Image.Image, min_score: float) -> list[Face]:
        """The faces of an RGB image, seen whole, in its pixels, that are at least this sure."""
        scale = INPUT / max(image.size)
        width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        left, top = (INPUT - width) // 2, (INPUT - height) // 2
        small = resample(image, width, height, (0.0, 0.0, float(image.width), float(image.height)), BILINEAR)
        pixels = np.full((1, INPUT, INPUT, 3), -1, np.float32)
        pixels[0, top : top + height, left : left + width] = np.asarray(small, np.float32) / 127.5 - 1
        with self.lock:
            self.interpreter.set_tensor(self.input, pixels)
            self.interpreter.invoke()
            raw, logits = self.interpreter.get_tensor(self.boxes)[0], self.interpreter.get_tensor(self.scores)[0, :, 0]
        scores = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        sure = scores >= min_score
        corners = self.corners(raw[sure], self.anchors[sure])
        # Back to the pixels of the image, without what hangs over its edges.
        corners = (corners - (left, top, left, top)) / scale
        corners = corners.clip(0, (image.width, image.height, image.width, image.height))
        return [
            Face(Box(x0, y0, x1 - x0, y1 - y0), score)
            for (x0, y0, x1, y1), score in merged(corners, scores[sure])
            if x1 > x0 and y1 > y0
        ]

    @staticmethod
    def corners(raw: Floats, anchors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Left, top, right and bottom, in pixels of the input, of the model's raw boxes; `(N, 16)` to `(N, 4)`."""
        centre, size = raw[:, :2] + anchors, np.abs(raw[:, 2:4])
        return np.concatenate([centre - size / 2, centre + size / 2], axis=1)

    def close(self) -> None:
        """Frees the model."""
        del self.interpreter


def merged(corners: npt.NDArray[np.float64], scores: Floats) -> list[tuple[tuple[float, float, float, float], float]]:
    """One box a face: the mean, weighted by score, of the boxes that lie over the surest one."""
    found: list[tuple[tuple[float, float, float, float], float]] = []
    left = np.argsort(-scores)
    while left.size:
        best = corners[left[0]]
        over = shares(best, corners[left]) > SAME
        over[0] = True
        x0, y0, x1, y1 = np.average(corners[left[over]], axis=0, weights=scores[left[over]])
        found.append(((float(x0), float(y0), float(x1), float(y1)), float(scores[left[0]])))
        left = left[~over]
    return found


def shares(one: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of `one` box with each of `others`."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(axis=1)
    whole = (one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    return np.asarray(shared / np.maximum(whole, 1e-9))
