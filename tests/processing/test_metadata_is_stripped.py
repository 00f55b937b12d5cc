"""Sanitize at the level of containers: all metadata goes, every pixel stays."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from imajin_servers.runtime.decoding.containers import sniff
from imajin_servers.runtime.decoding.containers.av1 import frame_sizes
from imajin_servers.runtime.decoding.decode import decode, inspect
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid

SECRET = b"52.5163,13.3777-secret"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>' + SECRET + b"</rdf:RDF></x:xmpmeta>"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int, thumbnail: bytes = b"") -> bytes:
    """EXIF with a maker, GPS and (where given) a thumbnail, as cameras write it."""
    tags = Image.Exif()
    tags[0x010F] = SECRET.decode()
    tags[0x0112] = orientation
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 58.68), 3: "E", 4: (13.0, 22.0, 39.72), 29: "2026:11:23"})
    return tags.tobytes() + thumbnail


@pytest.fixture
def photo(astronaut: Image.Image) -> Image.Image:
    return astronaut.resize((160, 120))


def jpeg(photo: Image.Image, orientation: int = 1) -> bytes:
    small = io.BytesIO()
    photo.resize((32, 24)).save(small, "JPEG")
    plain = io.BytesIO()
    photo.save(plain, "JPEG", quality=90, exif=exif(orientation), icc_profile=PROFILE, comment=SECRET, progressive=True)
    data = plain.getvalue()

    def segment(marker: int, payload: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload

    extra = [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + XMP),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04" + SECRET),
        segment(0xE0, b"JFXX\x00\x10" + small.getvalue()),
        segment(0xE2, b"MPF\x00" + SECRET),
    ]
    cut = 2 + 2 + struct.unpack_from(">H", data, 4)[0]
    return data[:cut] + b"".join(extra) + data[cut:] + b"PK\x03\x04" + SECRET


def png(photo: Image.Image, orientation: int = 1) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", SECRET.decode())
    text.add_text("Comment", SECRET.decode(), zip=True)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add(b"tIME", struct.pack(">HBBBBB", 2026, 11, 23, 3, 4, 5))
    text.add(b"prVt", SECRET)
    out = io.BytesIO()
    photo.save(out, "PNG", pnginfo=text, exif=exif(orientation), icc_profile=PROFILE, dpi=(300, 300))
    return out.getvalue() + SECRET


def webp(photo: Image.Image, orientation: int = 1) -> bytes:
    out = io.BytesIO()
    photo.save(out, "WEBP", quality=90, exif=exif(orientation), xmp=XMP, icc_profile=PROFILE)
    return out.getvalue() + SECRET


def avif(photo: Image.Image, orientation: int = 1) -> bytes:
    out = io.BytesIO()
    photo.save(out, "AVIF", quality=80, speed=10, exif=exif(orientation), xmp=XMP, icc_profile=PROFILE)
    extra = struct.pack(">I", 8 + 16 + len(SECRET)) + b"uuid" + bytes(16) + SECRET
    return out.getvalue() + extra


def gif(photo: Image.Image, orientation: int = 1) -> bytes:
    out = io.BytesIO()
    photo.save(out, "GIF", comment=SECRET)
    data = out.getvalue()
    # XMP in a GIF is one long text, and a run of falling numbers that ends it for readers of sub-blocks.
    magic = bytes([1, *range(255, -1, -1), 0])
    return data[:-1] + b"!\xff\x0bXMP DataXMP" + XMP + magic + b";" + SECRET


KINDS = {"jpeg": jpeg, "png": png, "webp": webp, "avif": avif, "gif": gif}
REMOVED = {
    "jpeg": ("comment", "exif", "iptc", "multi-picture", "thumbnail", "trailing-data", "xmp"),
    "png": ("density", "exif", "other", "text", "time", "trailing-data", "xmp"),
    "webp": ("exif", "trailing-data", "xmp"),
    "avif": ("c2pa", "exif", "xmp"),
    "gif": ("comment", "trailing-data", "xmp"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
Maker = Callable[..., bytes]


def pixels(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        # The reference reader warns of the odd metadata that is about to go.
        warnings.simplefilter("ignore")
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@every_kind
def test_nothing_of_the_metadata_is_left_and_every_pixel_is(kind: str, photo: Image.Image) -> None:
    data = KINDS[kind](photo)
    assert SECRET in data or kind == "png"
    stripped = sniff(data).strip(data)
    assert SECRET not in stripped.data
    assert b"Exif" not in stripped.data
    assert b"rdf:RDF" not in stripped.data
    assert stripped.removed == REMOVED[kind]
    assert np.array_equal(pixels(stripped.data), pixels(data))
    image = Image.open(io.BytesIO(stripped.data))
    # A GIF has no profile that readers know.
    assert image.info.get("icc_profile") == (PROFILE if kind != "gif" else None)
    assert not image.getexif()
    assert not image.info.get("xmp")


def test_compressed_text_of_a_png_is_gone_too(photo: Image.Image) -> None:
    data = sniff(png(photo)).strip(png(photo)).data
    kinds, position = [], 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kinds.append(data[position + 4 : position + 8])
        assert zlib.crc32(data[position + 4 : position + 8 + length]) == int.from_bytes(
            data[position + 8 + length : position + 12 + length], "big"
        )
        position += 12 + length
    assert set(kinds) == {b"IHDR", b"iCCP", b"IDAT", b"IEND"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_that_a_photograph_needs_outlives_its_metadata(
    kind: str, orientation: int, photo: Image.Image
) -> None:
    data = KINDS[kind](photo, orientation)
    before = decode(inspect(data, Limits()))
    clean = sniff(data).strip(data).data
    after = decode(inspect(clean, Limits()))
    assert (before.width, before.height) == ((120, 160) if orientation >= 5 else (160, 120))
    assert np.array_equal(np.asarray(before), np.asarray(after))
    assert SECRET not in clean


@every_kind
def test_stripping_twice_changes_nothing(kind: str, photo: Image.Image) -> None:
    once = sniff(KINDS[kind](photo, 1)).strip(KINDS[kind](photo, 1))
    twice = sniff(once.data).strip(once.data)
    assert twice.data == once.data
    assert twice.removed == ()


def test_a_cmyk_jpeg_keeps_the_segment_that_says_how_its_colours_are_coded(photo: Image.Image) -> None:
    out = io.BytesIO()
    photo.convert("CMYK").save(out, "JPEG", quality=90, exif=exif(1))
    stripped = sniff(out.getvalue()).strip(out.getvalue())
    assert b"Adobe" in stripped.data
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(stripped.data))), np.asarray(Image.open(io.BytesIO(out.getvalue())))
    )


@pytest.mark.parametrize("size", [(64, 48), (160, 120), (1023, 1)])
@pytest.mark.parametrize("moving", [False, True])
def test_the_size_that_an_avifs_bitstream_announces_is_read(size: tuple[int, int], moving: bool) -> None:
    out = io.BytesIO()
    more = {"save_all": True, "append_images": [Image.new("RGB", size, "red")]} if moving else {}
    Image.new("RGB", size).save(out, "AVIF", speed=10, **more)
    data = out.getvalue()
    at = data.index(b"mdat") + 4
    assert next(frame_sizes(data[at:])) == size


@pytest.mark.parametrize("kind", ["png", "avif", "gif"])
def test_an_animation_becomes_its_first_frame(kind: str, photo: Image.Image) -> None:
    out = io.BytesIO()
    others = [Image.new("RGB", photo.size, colour) for colour in ("red", "blue")]
    photo.save(out, kind, save_all=True, append_images=others, duration=50)
    data = out.getvalue()
    assert Image.open(io.BytesIO(data)).n_frames == 3
    stripped = sniff(data).strip(data)
    assert "animation" in stripped.removed
    still = Image.open(io.BytesIO(stripped.data))
    assert getattr(still, "n_frames", 1) == 1
    assert np.array_equal(np.asarray(still.convert("RGB")), pixels(data))


def avif_items(data: bytes, start: int, length: int) -> bytes:
    """An AVIF whose image is said to lie elsewhere in the file."""
    at = data.index(b"iloc") + 18
    return data[:at] + struct.pack(">II", start, length) + data[at + 8 :]


def test_an_avifs_image_is_no_part_of_its_own_tables(photo: Image.Image) -> None:
    out = io.BytesIO()
    photo.save(out, "AVIF", speed=10)
    data = out.getvalue()
    media = data.index(b"mdat") + 4
    inspect(avif_items(data, media, len(data) - media), Limits())
    for start, length in ((0, len(data)), (data.index(b"meta"), 40), (media - 4, 40), (len(data) - 4, 8)):
        with pytest.raises(ImageInvalid):
            inspect(avif_items(data, start, length), Limits())


def test_what_no_item_of_an_avif_owns_is_gone(photo: Image.Image) -> None:
    out = io.BytesIO()
    photo.save(out, "AVIF", speed=10)
    data = out.getvalue()
    hidden = data + struct.pack(">I", 8 + len(SECRET)) + b"mdat" + SECRET
    assert SECRET not in sniff(hidden).strip(hidden).data
    assert np.array_equal(pixels(sniff(hidden).strip(hidden).data), pixels(data))


@pytest.mark.parametrize("width", [0, 4, 9])
def test_a_webp_whose_extended_header_is_short_is_stripped(width: int, photo: Image.Image) -> None:
    out = io.BytesIO()
    photo.save(out, "WEBP")
    plain = out.getvalue()
    body = b"WEBP" + b"VP8X" + struct.pack("<I", width) + bytes(width + width % 2) + plain[12:]
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert sniff(data).strip(data).data == data
