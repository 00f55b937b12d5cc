"""The detector's model file, which ships with this package."""

from __future__ import annotations

import hashlib
from importlib import resources

MODEL = "face_detection_full_range_sparse.tflite"
SHA256 = "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"


def model() -> bytes:
    """The model. Raises OSError when it is not the file that was tested."""
    data = (resources.files("imajin_servers.processing.focal") / "models" / MODEL).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise OSError(f"{MODEL} does not have the SHA-256 that it should have")
    return data
