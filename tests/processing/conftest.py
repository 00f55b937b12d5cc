from __future__ import annotations

import importlib.util
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.processing.__main__ import build
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.runtime.server import Lifetime

from ..serving import served

Stub = pb_grpc.ProcessingServiceStub
Serve = Callable[[ProcessingSettings], AbstractAsyncContextManager[Stub]]


@asynccontextmanager
async def running(settings: ProcessingSettings) -> AsyncIterator[Stub]:
    """A real server with `settings` on a free port of the loopback, and a stub that talks to it."""
    async with served(build(settings, Lifetime())) as there:
        yield pb_grpc.ProcessingServiceStub(there.channel)


@pytest.fixture
def serve() -> Serve:
    return running


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    """A server with the default settings, but for faces: most tests have none, and the detector takes a second to load."""
    async with running(ProcessingSettings(workers=2, focal={"faces": False})) as stub:
        yield stub


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Photographs that come in the scikit-image wheel, such as `astronaut.png`; the library itself is not imported."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


@pytest.fixture(scope="session")
def astronaut(photographs: Path) -> Image.Image:
    """A portrait, 512 x 512, RGB: a face at about (0.44, 0.23)."""
    return Image.open(photographs / "astronaut.png").convert("RGB")


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    """`image` encoded by Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo(photographs: Path) -> Image.Image:
    return Image.open(photographs / "coffee.png").convert("RGB")  # 600 x 400


@pytest.fixture(scope="session")
def photo_png(photo: Image.Image) -> bytes:
    return file_of(photo, "PNG")
