"""Any bytes are a picture or a typed error. Files made to hurt one by one are those of tests/hostile."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imajin_servers.runtime.decoding.containers import sniff
from imajin_servers.runtime.decoding.containers.png import SIGNATURE
from imajin_servers.runtime.decoding.decode import decode, inspect, inspect_raw
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

PHOTO = Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB")
FORMATS = ("png", "jpeg", "webp", "avif", "gif")


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


FILES = {format: file_of(PHOTO, format.upper()) for format in FORMATS}
FILES["progressive"] = file_of(PHOTO, "JPEG", progressive=True)
FILES["lossless"] = file_of(PHOTO, "WEBP", lossless=True)


def handled(data: bytes) -> Image.Image | None:
    """The picture, or None when the file was refused with one of our errors. Anything else fails the test."""
    try:
        return decode(inspect(data, Limits()))
    except (ImageInvalid, ImageTooLarge):
        return None


def test_the_refusal_of_another_kind_of_file_names_it() -> None:
    for name, data in (("SVG", b"<svg/>"), ("HEIC", b"\0\0\0\x18ftypheic"), ("TIFF", b"II*\0"), ("PDF", b"%PDF-")):
        with pytest.raises(ImageInvalid, match=name) as raised:
            sniff(data)
        assert raised.value.metadata == {"detected": name}


@pytest.mark.parametrize("name", FILES)
def test_what_lies_behind_an_image_is_gone_after_stripping(name: str) -> None:
    stripped = sniff(FILES[name]).strip(FILES[name] + b"PK\x03\x04<script>")
    assert b"<script>" not in stripped.data
    assert "trailing-data" in stripped.removed


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_with_any_bytes_changed_is_handled_or_refused(name: str, data: st.DataObject) -> None:
    whole = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    handled(bytes(whole))


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", SIGNATURE, b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypavif", b"GIF89a"]),
)
def test_any_bytes_are_handled_or_refused(data: bytes, magic: bytes) -> None:
    handled(magic + data)


def test_an_animation_of_many_frames_is_taken_by_its_first() -> None:
    frames = [Image.new("RGB", (16, 16), (index * 8, 0, 0)) for index in range(30)]
    for format in ("png", "webp", "avif", "gif"):
        data = file_of(frames[0], format, save_all=True, append_images=frames[1:], duration=10)
        picture = handled(data)
        assert picture is not None
        assert inspect(data, Limits()).header.frames == 30
        red, green, blue = picture.getpixel((8, 8))[:3]
        assert max(red, green, blue) < 8
        with pytest.raises(ImageTooLarge, match="frames"):
            inspect(data, Limits(animated=False))


def test_bare_pixels_must_be_as_many_as_they_say() -> None:
    assert decode(inspect_raw(bytes(30), 5, 2, Limits())).size == (5, 2)
    for width, height in ((5, 3), (0, 0), (1, 1)):
        with pytest.raises(ImageInvalid):
            inspect_raw(bytes(30), width, height, Limits())
    with pytest.raises(ImageTooLarge):
        inspect_raw(b"", 100_000, 100_000, Limits())
