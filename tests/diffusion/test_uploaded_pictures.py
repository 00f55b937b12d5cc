"""Pictures that edits begin from: refused by their headers before a decoder sees them, upright and in RGB afterwards.

The decoder itself is tested in tests/runtime, against hostile files in tests/hostile.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin_servers.diffusion.uploads import picture
from imajin_servers.runtime import images
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

LIMITS = Limits(pixels=10_000, side=1000, animated=False)


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.new("RGB", (20, 10), "red")).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes, limits: Limits = LIMITS) -> Image.Image:
    return picture(images.Image(image_pb2.ImageInfo(), data), limits)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_the_four_kinds_are_read(kind: str) -> None:
    read = opened(encoded(kind))
    assert (read.mode, read.size) == ("RGB", (20, 10))
    assert np.abs(np.asarray(read).astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("size", [(200, 100), (1001, 2)])
def test_what_is_too_large_is_not_decoded(kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(kind, Image.new("RGB", size))
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(ImageTooLarge) as refused:
        opened(data)
    assert refused.value.metadata["limit"] in ("10000", "1000")


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\x00\x00damaged"}])
def test_every_sort_of_webp_states_its_size(options: dict[str, Any]) -> None:
    data = encoded("WEBP", Image.new("RGB", (123, 45), "blue"), **options)
    assert opened(data).size == (123, 45)
    with pytest.raises(ImageTooLarge):
        opened(data, Limits(pixels=123 * 45 - 1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    with pytest.raises(ImageTooLarge, match="frames"):
        opened(encoded(kind, frames[0], save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"GIF89a" + bytes(20), b"RIFF\0\0\0\0WEBPVP8X", bytes(100)])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(ImageInvalid):
        opened(data)


def test_it_is_upright_and_on_white() -> None:
    side = Image.new("RGB", (20, 10), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(encoded("JPEG", side, exif=exif)).size == (10, 20)
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert np.asarray(opened(encoded("PNG", clear))).min() == 255
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    assert np.asarray(opened(encoded("PNG", deep)))[0, 0].tolist() == [156, 156, 156]


def test_bare_pixels_are_counted() -> None:
    info = image_pb2.ImageInfo(format=image_pb2.IMAGE_FORMAT_RAW_RGB8, width=3, height=2)
    assert picture(images.Image(info, bytes(range(18))), LIMITS).size == (3, 2)
    for data in (b"", bytes(17), bytes(19)):
        with pytest.raises(ImageInvalid):
            picture(images.Image(info, data), LIMITS)
    with pytest.raises(ImageTooLarge):
        picture(images.Image(info, bytes(18)), Limits(pixels=5))
