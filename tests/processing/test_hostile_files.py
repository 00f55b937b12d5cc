"""Files made to hurt: each is refused with a typed error, or handled; refusals that can be are decided before decoding."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imajin_servers.processing.containers import sniff
from imajin_servers.processing.containers.png import SIGNATURE, chunk
from imajin_servers.processing.decode import Picture, decode, inspect, inspect_raw
from imajin_servers.processing.settings import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

PHOTO = Image.effect_mandelbrot((96, 64), (-2, -1.5, 1, 1.5), 60).convert("RGB")
FORMATS = ("png", "jpeg", "webp", "avif")


def file_of(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


FILES = {format: file_of(PHOTO, format.upper()) for format in FORMATS}
FILES["progressive"] = file_of(PHOTO, "JPEG", progressive=True)
FILES["lossless"] = file_of(PHOTO, "WEBP", lossless=True)


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    return ihdr(width, height) + b"".join(chunks) + chunk(b"IEND", b"")


def idat(raw: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(raw, 9))


def handled(data: bytes) -> Picture | None:
    """The picture, or None when the file was refused with one of our errors. Anything else fails the test."""
    try:
        return decode(inspect(data, Limits()))
    except (ImageInvalid, ImageTooLarge):
        return None


def refused() -> Iterator[tuple[str, bytes, type[Exception]]]:
    """Files that must be refused before anything is decoded."""
    bomb = png(idat(bytes(100_000)), width=100_000, height=100_000)
    yield "empty", b"", ImageInvalid
    yield "one-byte", b"\xff", ImageInvalid
    yield "text", b"hello, world", ImageInvalid
    yield "png-bomb-header", bomb, ImageTooLarge
    yield "png-51-megapixels", png(idat(b""), width=10_200, height=5_000), ImageTooLarge
    yield "png-giant-one-pixel-high", png(idat(b""), width=2_000_000, height=1), ImageTooLarge
    yield "png-2-to-the-31", png(idat(b""), width=1 << 31, height=1), ImageInvalid
    yield "png-zero-wide", png(idat(b""), width=0), ImageInvalid
    yield "png-zero-high", png(idat(b""), height=0), ImageInvalid
    yield "png-no-pixels", png(), ImageInvalid
    yield "png-signature-only", SIGNATURE, ImageInvalid
    yield "png-wrong-header-checksum", bomb[:29] + b"\0\0\0\0" + bomb[33:], ImageInvalid
    yield "png-no-header", SIGNATURE + chunk(b"IDAT", b"x") + chunk(b"IEND", b""), ImageInvalid
    yield "png-chunk-longer-than-file", ihdr(8, 8) + b"\x7f\xff\xff\xffIDAT", ImageInvalid
    yield "png-100000-chunks", png(chunk(b"tEXt", b"a\0b") * 100_000, idat(b"")), ImageInvalid
    jpeg = FILES["jpeg"]
    at = jpeg.index(b"\xff\xc0")
    yield "jpeg-65535", jpeg[: at + 5] + b"\xff\xff\xff\xff" + jpeg[at + 9 :], ImageTooLarge
    yield "jpeg-zero", jpeg[: at + 5] + b"\0\0\0\0" + jpeg[at + 9 :], ImageInvalid
    yield "jpeg-start-only", b"\xff\xd8\xff", ImageInvalid
    yield "jpeg-all-fill", b"\xff\xd8" + b"\xff" * 1_000_000, ImageInvalid
    yield "jpeg-two-frames", jpeg[:at] + jpeg[at : at + 19] + jpeg[at:], ImageInvalid
    progressive = FILES["progressive"]
    scan = progressive.rindex(b"\xff\xda")
    yield "jpeg-1000-scans", progressive[:-2] + progressive[scan:-2] * 1000 + b"\xff\xd9", ImageInvalid
    yield "jpeg-100000-comments", b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000 + jpeg[2:], ImageInvalid
    canvas = struct.pack("<I", 0x10) + (16_383).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + b"ANMF" + struct.pack("<I", 16) + bytes(16)
    yield "webp-bomb-canvas", b"RIFF" + struct.pack("<I", len(body)) + body, ImageTooLarge
    yield "webp-no-pixels", b"RIFF\x04\0\0\0WEBP", ImageInvalid
    yield "webp-longer-than-file", b"RIFF\xff\xff\xff\xffWEBP" + FILES["webp"][12:], ImageInvalid
    avif = FILES["avif"]
    place = avif.index(b"ispe") + 8
    yield "avif-bomb-header", avif[:place] + struct.pack(">II", 100_000, 100_000) + avif[place + 8 :], ImageTooLarge
    yield "avif-zero", avif[:place] + struct.pack(">II", 0, 64) + avif[place + 8 :], ImageInvalid
    large = file_of(Image.new("RGB", (2048, 2048)), "AVIF", speed=10, quality=10)
    place = large.index(b"ispe") + 8
    yield "avif-larger-than-it-says", large[:place] + struct.pack(">II", 16, 16) + large[place + 8 :], ImageInvalid
    yield "avif-start-only", avif[:32], ImageInvalid
    yield "gif", file_of(PHOTO, "GIF"), ImageInvalid
    yield (
        "gif-bomb",
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;",
        ImageInvalid,
    )
    yield "tiff", file_of(PHOTO, "TIFF"), ImageInvalid
    yield "bmp", file_of(PHOTO, "BMP"), ImageInvalid
    yield "ico", file_of(PHOTO.resize((16, 16)), "ICO"), ImageInvalid
    yield (
        "svg",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        ImageInvalid,
    )
    yield "svg-bare", b"\xef\xbb\xbf  <svg width='1e9'/>", ImageInvalid
    yield "html", b"<!doctype html><script>alert(1)</script>", ImageInvalid
    yield "pdf", b"%PDF-1.7\n" + FILES["jpeg"], ImageInvalid
    yield "zip", b"PK\x03\x04" + FILES["png"], ImageInvalid
    yield "postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n", ImageInvalid
    yield "mp4", struct.pack(">I", 24) + b"ftypisom\0\0\0\0isomiso2", ImageInvalid
    yield "too-long", FILES["jpeg"] + bytes(20_000_001), ImageTooLarge


@pytest.mark.parametrize(("data", "error"), [pytest.param(data, error, id=name) for name, data, error in refused()])
def test_it_is_refused_before_it_is_decoded(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        inspect(data, Limits())
    assert type(raised.value) is error


def test_the_refusal_of_another_kind_of_file_names_it() -> None:
    for name, data in (("SVG", b"<svg/>"), ("GIF", b"GIF89a"), ("TIFF", b"II*\0"), ("PDF", b"%PDF-")):
        with pytest.raises(ImageInvalid, match=name) as raised:
            sniff(data)
        assert raised.value.metadata == {"detected": name}


def damaged() -> Iterator[tuple[str, bytes]]:
    """Files whose fault shows only in their pixels."""
    whole = FILES["png"]
    at = whole.index(b"IDAT")
    yield "png-pixels-are-noise", png(chunk(b"IDAT", random.Random(1).randbytes(500)))
    yield "png-too-few-pixels", png(idat(bytes(40)))
    yield "png-empty-pixels", png(chunk(b"IDAT", b""))
    yield (
        "png-flipped-bits",
        whole[: at + 40] + bytes(byte ^ 0x5A for byte in whole[at + 40 : at + 60]) + whole[at + 60 :],
    )
    yield "png-deflate-bomb", png(idat(bytes(50_000_000)))
    yield "png-profile-bomb", png(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(80_000_000), 9)), idat(bytes(8 * 25)))
    yield "png-bad-profile", png(chunk(b"iCCP", b"x\0\0" + zlib.compress(b"nonsense")), idat(bytes(8 * 25)))
    yield "png-palette-without-palette", ihdr(8, 8, 8, 3) + idat(bytes(72)) + chunk(b"IEND", b"")
    yield "png-depth-of-3", ihdr(8, 8, 3, 2) + idat(bytes(400)) + chunk(b"IEND", b"")
    jpeg = FILES["jpeg"]
    scan = jpeg.index(b"\xff\xda") + 20
    yield "jpeg-noise", jpeg[:scan] + random.Random(2).randbytes(400).replace(b"\xff", b"\0") + b"\xff\xd9"
    yield "jpeg-no-tables", jpeg[:2] + jpeg[jpeg.index(b"\xff\xc0") :]
    yield "jpeg-exif-says-nonsense", jpeg[:2] + b"\xff\xe1\0\x10Exif\0\0MM\0*\xff\xff\xff\xff" + jpeg[2:]
    yield "webp-noise", FILES["webp"][:60] + random.Random(3).randbytes(len(FILES["webp"]) - 60)
    yield "webp-lossless-noise", FILES["lossless"][:40] + random.Random(4).randbytes(len(FILES["lossless"]) - 40)
    avif = FILES["avif"]
    data_at = avif.index(b"mdat") + 4
    frames = [Image.new("RGB", (512, 512), (shade, 0, 0)) for shade in (0, 90)]
    moving = file_of(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=9)
    small = (15).to_bytes(3, "little")
    frame = moving.index(b"ANMF") + 14
    moving = moving[:24] + small * 2 + moving[30:frame] + small * 2 + moving[frame + 6 :]
    yield "webp-frame-larger-than-its-canvas", moving
    yield "avif-noise", avif[:data_at] + random.Random(5).randbytes(len(avif) - data_at)
    place = avif.index(b"ispe") + 8
    yield "avif-says-another-size", avif[:place] + struct.pack(">II", 32, 32) + avif[place + 8 :]
    for name, host in FILES.items():
        yield f"{name}-and-zip-in-one", host + b"PK\x03\x04" + bytes(100)
        yield f"{name}-and-html-in-one", host + b"<script>alert(1)</script>"


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in damaged()])
def test_it_is_handled_or_refused_with_a_typed_error(data: bytes) -> None:
    handled(data)


@pytest.mark.parametrize("name", FILES)
def test_what_lies_behind_an_image_is_gone_after_stripping(name: str) -> None:
    stripped = sniff(FILES[name]).strip(FILES[name] + b"PK\x03\x04<script>")
    assert b"<script>" not in stripped.data
    assert "trailing-data" in stripped.removed


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_at_any_percent_is_refused(name: str) -> None:
    whole = FILES[name]
    for percent in range(100):
        assert handled(whole[: len(whole) * percent // 100]) is None, f"taken at {percent}%"
    assert handled(whole) is not None


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
    st.sampled_from([b"", SIGNATURE, b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypavif"]),
)
def test_any_bytes_are_handled_or_refused(data: bytes, magic: bytes) -> None:
    handled(magic + data)


def test_half_a_megabyte_of_every_metadata_is_handled() -> None:
    text = chunk(b"tEXt", b"Comment\0" + b"x" * 500_000)
    whole = FILES["png"]
    assert handled(whole[:33] + text + whole[33:]) is not None
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)
    assert handled(b"\xff\xd8" + segment * 8 + FILES["jpeg"][2:]) is not None


def test_an_animation_of_many_frames_is_taken_by_its_first() -> None:
    frames = [Image.new("RGB", (16, 16), (index * 8, 0, 0)) for index in range(30)]
    for format in ("png", "webp", "avif"):
        data = file_of(frames[0], format, save_all=True, append_images=frames[1:], duration=10)
        picture = handled(data)
        assert picture is not None
        assert picture.source.header.frames == 30
        red, green, blue = picture.pixels.getpixel((8, 8))[:3]
        assert max(red, green, blue) < 8
        with pytest.raises(ImageTooLarge, match="frames"):
            inspect(data, Limits(animated=False))


def test_bare_pixels_must_be_as_many_as_they_say() -> None:
    assert decode(inspect_raw(bytes(30), 5, 2, Limits())).pixels.size == (5, 2)
    for width, height in ((5, 3), (0, 0), (1, 1)):
        with pytest.raises(ImageInvalid):
            inspect_raw(bytes(30), width, height, Limits())
    with pytest.raises(ImageTooLarge):
        inspect_raw(b"", 100_000, 100_000, Limits())
