"""Decoding, resizing and encoding: every mode comes out as sRGB, nothing moves, nothing rings, alpha has no dark edges."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps

from imajin_servers.processing.encode import Recipe, encode
from imajin_servers.processing.resize import resize
from imajin_servers.processing.settings import Encoders
from imajin_servers.runtime.decoding.containers.png import SIGNATURE, chunk
from imajin_servers.runtime.decoding.decode import inspect
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid

from .conftest import file_of
from .pixels import centre, near, opened, plain, swapped_profile

ORANGE = (230, 120, 40)
Pixels = np.ndarray


@pytest.mark.parametrize(
    ("data", "mode", "colour"),
    [
        pytest.param(file_of(plain("RGB", ORANGE), "PNG"), "RGB", ORANGE, id="rgb"),
        pytest.param(file_of(plain("RGBA", (*ORANGE, 128)), "PNG"), "RGBA", (*ORANGE, 128), id="rgba"),
        pytest.param(file_of(plain("L", 99), "PNG"), "RGB", (99, 99, 99), id="grey"),
        pytest.param(file_of(plain("LA", (99, 50)), "PNG"), "RGBA", (99, 99, 99, 50), id="grey-alpha"),
        pytest.param(file_of(plain("1", 1), "PNG"), "RGB", (255, 255, 255), id="one-bit"),
        pytest.param(file_of(plain("I;16", 0x6400), "PNG"), "RGB", (100, 100, 100), id="grey-16-bit"),
        pytest.param(file_of(plain("RGB", ORANGE).quantize(8), "PNG"), "RGB", ORANGE, id="palette"),
        pytest.param(
            file_of(plain("L", 99), "PNG", transparency=99), "RGBA", (99, 99, 99, 0), id="grey-one-transparent"
        ),
        pytest.param(
            file_of(plain("RGB", ORANGE), "PNG", transparency=ORANGE), "RGBA", (*ORANGE, 0), id="rgb-one-transparent"
        ),
        pytest.param(file_of(plain("L", 99), "JPEG", quality=95), "RGB", (99, 99, 99), id="jpeg-grey"),
        pytest.param(
            file_of(plain("RGBA", (*ORANGE, 128)), "WEBP", lossless=True), "RGBA", (*ORANGE, 128), id="webp-alpha"
        ),
        pytest.param(
            file_of(plain("RGBA", (*ORANGE, 128)), "AVIF", quality=100), "RGBA", (*ORANGE, 128), id="avif-alpha"
        ),
        pytest.param(file_of(plain("RGB", ORANGE), "GIF"), "RGB", ORANGE, id="gif"),
        pytest.param(file_of(plain("L", 99), "GIF"), "RGB", (99, 99, 99), id="gif-grey"),
        pytest.param(file_of(plain("RGBA", (0, 0, 0, 0)), "GIF"), "RGBA", (0, 0, 0, 0), id="gif-transparent"),
    ],
)
def test_every_mode_comes_out_as_rgb_or_rgba(data: bytes, mode: str, colour: tuple[int, ...]) -> None:
    picture = opened(data)
    assert picture.mode == mode
    assert near(centre(picture), colour)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_says(format: str, orientation: int) -> None:
    image = Image.new("RGB", (64, 48), "white")
    # No turn and no mirror of it looks like another.
    image.paste((200, 30, 30), (0, 0, 40, 12))
    image.paste((30, 30, 200), (0, 0, 8, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(image, format, exif=exif, quality=95)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))), int)
    assert upright.shape == ((64, 48, 3) if orientation >= 5 else (48, 64, 3))
    assert np.abs(np.asarray(opened(data), int) - upright).max() <= 1


def test_a_palette_with_graded_transparency_keeps_it() -> None:
    image = Image.new("P", (40, 30), 1)
    image.putpalette([0, 0, 0, *ORANGE])
    picture = opened(file_of(image, "PNG", transparency=bytes([0, 77])))
    assert centre(picture) == (*ORANGE, 77)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_png_pixels_are_those_that_pillow_finds(astronaut: Image.Image, mode: str) -> None:
    image = astronaut.convert(mode)
    if mode == "RGBA":
        image.putalpha(astronaut.getchannel(1))
    data = file_of(image.crop((3, 5, 260, 300)), "PNG")
    assert np.array_equal(np.asarray(opened(data)), np.asarray(Image.open(io.BytesIO(data))))


def test_a_png_with_a_damaged_piece_is_refused(astronaut: Image.Image) -> None:
    data = bytearray(file_of(astronaut.crop((0, 0, 64, 64)), "PNG"))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(ImageInvalid):
        opened(bytes(data))


def test_sixteen_bit_colour_is_narrowed(photographs: object) -> None:
    row = b"\0" + struct.pack(">HHH", 0xE6FF, 0x7800, 0x2800) * 40
    data = (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * 30))
        + chunk(b"IEND", b"")
    )
    assert near(centre(opened(data)), ORANGE, by=1)


def test_cmyk_comes_out_in_its_colours() -> None:
    picture = opened(file_of(plain("CMYK", (0, 255, 255, 0)), "JPEG", quality=95))
    assert picture.mode == "RGB"
    red, green, blue = centre(picture)
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_an_embedded_profile_is_applied(format: str) -> None:
    data = file_of(plain("RGB", (220, 20, 20)), format, quality=95, icc_profile=swapped_profile())
    red, green, _ = centre(opened(data))
    assert green > 190
    assert red < 60


def test_an_alpha_channel_outlives_the_profile() -> None:
    data = file_of(plain("RGBA", (220, 20, 20, 90)), "PNG", icc_profile=swapped_profile())
    red, green, _, alpha = centre(opened(data))
    assert (green > 190, red < 60, alpha) == (True, True, 90)


@pytest.mark.parametrize(
    "profile", [b"", b"junk", bytes(200), ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_profile_that_makes_no_sense_is_ignored(profile: bytes) -> None:
    assert near(centre(opened(file_of(plain("RGB", ORANGE), "PNG", icc_profile=profile))), ORANGE)


def centroid(image: Image.Image) -> tuple[float, float]:
    """Centre of brightness as fractions of width and height."""
    light = np.asarray(image.convert("L"), np.float64)
    y, x = np.mgrid[0 : light.shape[0], 0 : light.shape[1]]
    return (
        float((light * (x + 0.5)).sum() / light.sum() / light.shape[1]),
        float((light * (y + 0.5)).sum() / light.sum() / light.shape[0]),
    )


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (255, 255), (257, 257), (512, 512), (1000, 1000), (2048, 2048)])
def test_nothing_shifts(size: tuple[int, int]) -> None:
    image = Image.new("RGB", (256, 256))
    ImageDraw.Draw(image).ellipse((60, 100, 120, 160), fill="white")
    before, after = centroid(image), centroid(resize(image, *size))
    # Half a source pixel would be 1/512.
    assert after == pytest.approx(before, abs=1 / 4096)


def test_a_cut_at_a_fraction_of_a_pixel_is_cut_there() -> None:
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1))).convert("RGB")
    cut = np.asarray(resize(ramp, 128, 64, (10.25, 0.0, 128.0, 64.0)), np.float64)[:, 8:-8, 0]
    whole = np.asarray(ramp, np.float64)[:, 18:-118, 0]
    assert (cut - whole[:, : cut.shape[1]]).mean() == pytest.approx(0.25, abs=0.3)


def test_reducing_is_as_good_as_pillows_lanczos(astronaut: Image.Image) -> None:
    wide = np.asarray(astronaut, np.float32)
    for size in ((320, 320), (200, 150), (64, 64)):
        reference = np.stack(
            [
                np.asarray(Image.fromarray(wide[:, :, band], "F").resize(size, Image.Resampling.LANCZOS))
                for band in range(3)
            ],
            2,
        ).clip(0, 255)
        ours = np.abs(np.asarray(resize(astronaut, *size), np.float32) - reference).mean()
        pillows = np.abs(np.asarray(astronaut.resize(size, Image.Resampling.LANCZOS), np.float32) - reference).mean()
        assert ours <= pillows * 1.02 + 0.01


def test_enlarging_makes_no_halos_and_stays_sharp() -> None:
    image = Image.new("RGB", (64, 64), (60, 60, 60))
    ImageDraw.Draw(image).rectangle((32, 0, 63, 63), fill=(190, 190, 190))
    large = np.asarray(resize(image, 512, 512))
    assert large.min() >= 60
    assert large.max() <= 190
    row = large[256, :, 0].astype(int)
    lanczos = np.asarray(image.resize((512, 512), Image.Resampling.LANCZOS))[256, :, 0].astype(int)
    assert lanczos.max() > 195
    assert np.abs(np.diff(row)).max() >= 0.9 * np.abs(np.diff(lanczos)).max()


@pytest.mark.parametrize("size", [(25, 25), (400, 400)])
def test_what_is_transparent_does_not_bleed_into_edges(size: tuple[int, int]) -> None:
    disc = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    ImageDraw.Draw(disc).ellipse((20, 20, 80, 80), fill=(*ORANGE, 255))
    over = Image.new("RGB", size, ORANGE)
    small = resize(disc, *size)
    over.paste(small, mask=small.getchannel("A"))
    # Hidden black would show as a dark rim on a ground of the disc's own colour; Lanczos draws a faint light one.
    rim = np.asarray(over).astype(int) - np.array(ORANGE)
    assert rim.min() >= -5
    assert rim.max() <= 20


def test_a_jpeg_of_a_transparent_image_lies_on_the_background_of_the_settings() -> None:
    made = encode(plain("RGBA", (0, 0, 0, 0)), Recipe("jpeg"), Encoders(background="#3366cc"))
    assert near(centre(opened(made.data)), (0x33, 0x66, 0xCC))


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif"])
def test_what_is_encoded_carries_no_metadata(format: str, photographs: object, astronaut: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x010F] = "secret"
    source = file_of(astronaut, "PNG", exif=exif, icc_profile=swapped_profile(), dpi=(300, 300))
    made = encode(opened(source), Recipe(format), Encoders())  # type: ignore[arg-type]
    again = inspect(made.data, Limits())
    assert again.removed == ()
    assert b"secret" not in made.data
    assert "icc_profile" not in Image.open(io.BytesIO(made.data)).info


def test_a_higher_quality_is_nearer_to_the_original_and_larger(astronaut: Image.Image) -> None:
    for format in ("jpeg", "webp", "avif"):
        low, high = (encode(astronaut, Recipe(format, quality), Encoders()) for quality in (30, 90))  # type: ignore[arg-type]
        assert len(low.data) < len(high.data)
        assert (low.quality, high.quality) == (30, 90)
        original = np.asarray(astronaut, np.float64)
        errors = [np.square(np.asarray(opened(made.data)) - original).mean() for made in (low, high)]
        assert errors[1] < errors[0]
