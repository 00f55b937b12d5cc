"""Files that say by numbers what their colours are, gamma, chromaticities or code points, come out as sRGB."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from imajin_servers.runtime.decoding.containers.png import SIGNATURE, chunk

from .conftest import file_of
from .pixels import centre, near, opened, plain, swapped_profile


def png(pixel: bytes, stated: Sequence[tuple[bytes, bytes]], colour: int) -> bytes:
    """A PNG of one colour, of the type `colour`, with these chunks."""
    return (
        SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 8, colour, 0, 0, 0))
        + b"".join(chunk(kind, payload) for kind, payload in stated)
        + chunk(b"IDAT", zlib.compress((b"\0" + pixel * 40) * 30))
        + chunk(b"IEND", b"")
    )


def png_stating(value: int, *more: tuple[bytes, bytes], colour: int = 2) -> bytes:
    """A PNG of samples of 128 and 255 that states a gamma of `value` hundred-thousandths."""
    pixel = bytes([128, 255, 0]) if colour == 2 else bytes([128, 255, 0, 128])
    return png(pixel, [(b"gAMA", struct.pack(">I", value)), *more], colour)


@pytest.mark.parametrize(
    ("value", "shown"),
    # sRGB's own curve says what half of the light is: 188; 1.8 was that of old Macintoshes.
    [(100_000, 188), (55_556, 146), (45_455, 128), (45_000, 128)],
)
def test_a_gamma_that_a_png_states_is_applied(value: int, shown: int) -> None:
    assert centre(opened(png_stating(value))) == (shown, 255, 0)
    assert centre(opened(png_stating(value, colour=6))) == (shown, 255, 0, 128)


@pytest.mark.parametrize("value", [0, 1, 1_000_000, 2**31 - 1])
def test_a_gamma_that_makes_no_sense_is_ignored(value: int) -> None:
    assert centre(opened(png_stating(value))) == (128, 255, 0)


def test_a_profile_and_an_srgb_chunk_say_more_than_a_gamma() -> None:
    assert centre(opened(png_stating(100_000, (b"sRGB", b"\0")))) == (128, 255, 0)
    profile = b"swapped\0\0" + zlib.compress(swapped_profile())
    red, green, _ = centre(opened(png_stating(100_000, (b"iCCP", profile))))
    assert red > 240 > green


ADOBE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
REC_2020 = (0.3127, 0.3290, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)
DCI = (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
BROWN = (160, 120, 90)


def in_srgb(colour: Sequence[int], points: Sequence[float], gamma: float | None) -> tuple[int, ...]:
    """`colour` of a space with these chromaticities (white, red, green, blue), in sRGB, computed in floating point."""

    def to_xyz(points: Sequence[float]) -> np.ndarray[Any, Any]:
        white, *corners = [
            np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(points[::2], points[1::2], strict=True)
        ]
        columns = np.stack(corners, axis=1)
        response = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
        scale = (response @ np.array([0.9504, 1, 1.0888])) / (response @ white)
        seen: np.ndarray[Any, Any] = (
            np.linalg.inv(response) @ np.diag(scale) @ response @ columns @ np.diag(np.linalg.solve(columns, white))
        )
        return seen

    sample = np.array(colour) / 255
    curve = np.where(sample <= 0.04045, sample / 12.92, ((sample + 0.055) / 1.055) ** 2.4)
    light = curve if gamma is None else sample ** (1 / gamma)
    srgb = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    shown = np.clip(np.linalg.solve(to_xyz(srgb), to_xyz(points) @ light), 0, 1)
    encoded = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return tuple(int(value) for value in np.rint(255 * encoded))


def brown_png(*stated: tuple[bytes, bytes], colour: int = 2) -> bytes:
    """A brown PNG with these chunks."""
    return png(bytes([*BROWN, 77][: 3 if colour == 2 else 4]), stated, colour)


def chromaticities(points: Sequence[float]) -> bytes:
    return struct.pack(">8I", *(round(value * 100_000) for value in points))


def gamma(value: float) -> bytes:
    return struct.pack(">I", round(value * 100_000))


@pytest.mark.parametrize(
    ("codes", "points", "power"),
    [
        ((12, 13), P3, None),
        ((9, 1), REC_2020, None),
        ((9, 14), REC_2020, None),
        ((11, 8), DCI, 1.0),
        ((1, 4), (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06), 1 / 2.2),
    ],
)
def test_colours_that_a_png_states_by_code_are_applied(
    codes: tuple[int, int], points: Sequence[float], power: float | None
) -> None:
    stated = (b"cICP", bytes([*codes, 0, 1]))
    shown = in_srgb(BROWN, points, power)
    assert shown != BROWN
    assert near(centre(opened(brown_png(stated))), shown, 2)
    assert near(centre(opened(brown_png(stated, colour=6))), (*shown, 77), 2)
    # It goes before everything else.
    profile = (b"iCCP", b"swapped\0\0" + zlib.compress(swapped_profile()))
    assert near(centre(opened(brown_png(stated, profile, (b"gAMA", gamma(1))))), shown, 2)


@pytest.mark.parametrize("codes", [b"\x01\x0d\0\1", b"\x02\x02\0\1"])
def test_a_code_for_srgb_goes_before_a_profile(codes: bytes) -> None:
    profile = (b"iCCP", b"swapped\0\0" + zlib.compress(swapped_profile()))
    assert centre(opened(brown_png((b"cICP", codes), profile))) == BROWN


@pytest.mark.parametrize(
    "codes",
    # PQ and HLG would need tone mapping; 0 and 200 are nothing; then numbers that aren't RGB, or not of the full range; too short.
    [b"\x09\x10\0\1", b"\x09\x12\0\1", b"\0\0\0\1", b"\xc8\x0d\0\1", b"\x0c\x0d\1\1", b"\x0c\x0d\0\0", b"\x0c\x0d"],
)
def test_a_code_that_says_nothing_leaves_it_to_the_rest(codes: bytes) -> None:
    assert centre(opened(brown_png((b"cICP", codes)))) == BROWN
    shown = in_srgb(BROWN, ADOBE, 1 / 2.2)
    rest = ((b"gAMA", gamma(0.45)), (b"cHRM", chromaticities(ADOBE)))
    assert near(centre(opened(brown_png((b"cICP", codes), *rest))), shown, 3)


@pytest.mark.parametrize(("points", "power"), [(ADOBE, 1 / 1.8), (P3, 1.0), (REC_2020, 0.4)])
def test_chromaticities_that_a_png_states_are_applied(points: Sequence[float], power: float) -> None:
    stated = ((b"gAMA", gamma(power)), (b"cHRM", chromaticities(points)))
    shown = in_srgb(BROWN, points, power)
    assert near(centre(opened(brown_png(*stated))), shown, 2)
    assert near(centre(opened(brown_png(*stated, colour=6))), (*shown, 77), 2)
    assert centre(opened(brown_png(*stated, (b"sRGB", b"\0")))) == BROWN
    # Without a gamma nobody knows what the samples are.
    assert centre(opened(brown_png(stated[1]))) == BROWN


@pytest.mark.parametrize(
    "payload",
    [
        bytes(32),
        b"\xff" * 32,
        chromaticities((0.3127, 0.3290, *(0.3, 0.3) * 3)),
        chromaticities((0.3127, 0, *ADOBE[2:])),
    ],
)
def test_chromaticities_that_make_no_sense_are_ignored(payload: bytes) -> None:
    assert centre(opened(brown_png((b"gAMA", gamma(1 / 2.2)), (b"cHRM", payload)))) == BROWN


@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"sRGB", b"cICP"])
@pytest.mark.parametrize("payload", [b"", b"short", bytes(40)])
def test_a_chunk_of_a_wrong_length_says_nothing(kind: bytes, payload: bytes) -> None:
    assert centre(opened(brown_png((kind, payload)))) == BROWN
    stated = (b"cICP", b"\x0c\x0d\0\1")
    if kind != b"cICP":
        assert near(centre(opened(brown_png((kind, payload), stated))), in_srgb(BROWN, P3, None), 2)


def avif_stating(primaries: int, transfer: int, **options: Any) -> bytes:
    """An AVIF whose colours have these codes."""
    data = file_of(plain("RGB", BROWN), "AVIF", quality=100, **options)
    wrote = b"colrnclx\x00\x01\x00\x0d"
    assert data.count(wrote) == 1
    return data.replace(wrote, b"colrnclx" + struct.pack(">HH", primaries, transfer))


@pytest.mark.parametrize(("codes", "points"), [((12, 13), P3), ((9, 14), REC_2020)])
def test_colours_that_an_avif_states_by_code_are_applied(codes: tuple[int, int], points: Sequence[float]) -> None:
    shown = in_srgb(BROWN, points, None)
    assert near(centre(opened(avif_stating(*codes))), shown, 3)


@pytest.mark.parametrize("codes", [(1, 13), (2, 2), (9, 16), (9, 18), (300, 13)])
def test_an_avif_that_states_nothing_else_stays_as_it_is(codes: tuple[int, int]) -> None:
    assert near(centre(opened(avif_stating(*codes))), BROWN, 3)
