"""One look of the face detector, by MediaPipe's Tasks: where LiteRT is not installed and the host has libEGL, libGLESv2 and libGL."""

from __future__ import annotations

import threading

import numpy as np
from PIL import Image

from imajin_servers.processing.crop import Box
from imajin_servers.processing.focal.model import model
from imajin_servers.processing.focal.point import Face
from imajin_servers.processing.focal.quiet import quiet
from imajin_servers.processing.resize import BILINEAR, resample

INPUT = 384
"""Longest side, in pixels, of what is handed over. The model looks at 192 x 192 whatever it is given."""


class TasksLooker:
    """Looks by MediaPipe. Raises ImportError or OSError where it can't be loaded."""

    def __init__(self, min_score: float) -> None:
        from mediapipe.tasks.python.core.base_options import BaseOptions  # type: ignore[import-untyped]
        from mediapipe.tasks.python.vision import FaceDetector, FaceDetectorOptions  # type: ignore[import-untyped]

        options = FaceDetectorOptions(
            base_options=BaseOptions(model_asset_buffer=model()), min_detection_confidence=min_score
        )
        self.lock = threading.Lock()
        with quiet():
            self.detector = FaceDetector.create_from_options(options)
            self.look(Image.new("RGB", (64, 64)))

    def look(self, image: Image.Image) -> list[Face]:
        """The faces of an RGB image, seen whole, in its pixels."""
        from mediapipe import Image as MediapipeImage  # type: ignore[import-untyped]
        from mediapipe import ImageFormat

        scale = min(1.0, INPUT / max(image.size))
        width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        small = resample(image, width, height, (0.0, 0.0, float(image.width), float(image.height)), BILINEAR)
        pixels = np.ascontiguousarray(np.asarray(small))
        with self.lock:
            found = self.detector.detect(MediapipeImage(image_format=ImageFormat.SRGB, data=pixels))
        faces: list[Face] = []
        for item in found.detections:
            raw = item.bounding_box
            left, top = max(0.0, raw.origin_x / scale), max(0.0, raw.origin_y / scale)
            right = min(float(image.width), (raw.origin_x + raw.width) / scale)
            bottom = min(float(image.height), (raw.origin_y + raw.height) / scale)
            if right > left and bottom > top:
                faces.append(Face(Box(left, top, right - left, bottom - top), float(item.categories[0].score)))
        return faces

    def close(self) -> None:
        """Frees the detector."""
        with quiet():
            self.detector.close()
