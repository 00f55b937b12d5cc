from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.credentials.store import Credentials


@pytest.fixture(scope="session")
def photographs() -> dict[str, Image.Image]:
    """Photographs that come in the scikit-image wheel; the library itself is not imported."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    names = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
    return {name.split(".")[0]: Image.open(folder / name).convert("RGB") for name in names}


@pytest.fixture(scope="session")
def drawn() -> Image.Image:
    """What models draw and photographs are not: plain ground, soft blobs. 640 x 512."""
    rows, columns = np.mgrid[0:512, 0:640].astype(np.float32)
    picture = np.full((512, 640, 3), (120, 190, 110), np.float32)
    for x, y, radius, colour in (
        (250, 230, 150, (235, 235, 245)),
        (180, 150, 50, (40, 40, 60)),
        (340, 260, 60, (220, 60, 60)),
    ):
        inside = np.clip((radius - np.hypot(columns - x, rows - y)) / 16 + 0.5, 0, 1)
        picture += inside[..., None] * (np.array(colour, np.float32) - picture)
    return Image.fromarray(picture.astype(np.uint8))


@pytest.fixture
def settings(tmp_path: Path) -> CredentialSettings:
    return CredentialSettings(directory=tmp_path)


@pytest.fixture
def credentials(settings: CredentialSettings) -> Credentials:
    return Credentials(settings)


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    def encode(image: Image.Image, format: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    return encode
