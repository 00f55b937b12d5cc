"""Colour profiles: those that files hold, and those made of what files state by numbers, applied by LittleCMS."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from imajin_servers.runtime.decoding.containers.stated import Colours, Point

SRGB = ImageCms.createProfile("sRGB")
COLOURS = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""The colours that a profile must be of, by the mode of the image."""
D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def applied(image: Image.Image, icc: bytes) -> Image.Image:
    """Converts from the embedded profile to sRGB. A profile that is broken, or of other colours, is ignored, as browsers do."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        core: Any = profile.profile
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        plain = image.convert("RGB") if alpha else image
        if core.xcolor_space.strip() != COLOURS.get(plain.mode):
            return image
        transform = ImageCms.buildTransform(profile, SRGB, plain.mode, "RGB")
        # Most profiles are sRGB under some name. Names are not read: a damaged one made its parser take 200 MB.
        if plain.mode == "RGB" and changes_little(transform):
            return image
        converted = ImageCms.applyTransform(plain, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    if converted is None:
        return image
    if alpha:
        converted.putalpha(alpha)
    return converted


def changes_little(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether an RGB transform leaves all of some colours from everywhere within a step of what they are."""
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    changed = ImageCms.applyTransform(Image.fromarray(cube), transform)
    return changed is not None and bool(np.abs(np.asarray(changed, np.int16) - cube).max() <= 1)


def made(colours: Colours) -> bytes:
    """An ICC profile, version 4.3, of an RGB display with these `colours`. https://www.color.org/specification/ICC.1-2022-05.pdf"""
    curve = (0, 1 / colours.gamma) if colours.gamma else (3, *SRGB_CURVE)
    numbers = b"".join(fixed(number) for number in curve[1:])
    shaper = b"para" + bytes(4) + struct.pack(">HH", int(curve[0]), 0) + numbers
    columns = primaries(colours).T
    parts = {b"wtpt": xyz(D50), b"rXYZ": xyz(columns[0]), b"gXYZ": xyz(columns[1]), b"bXYZ": xyz(columns[2])}
    parts |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), shaper)
    at = 128 + 4 + 12 * len(parts)
    table, data = struct.pack(">I", len(parts)), b""
    for name, part in parts.items():
        table += name + struct.pack(">II", at + len(data), len(part))
        data += part
    size = struct.pack(">I", at + len(data))
    kind = struct.pack(">I", 0x04300000) + b"mntrRGB XYZ "
    return (size + bytes(4) + kind + bytes(12) + b"acsp" + bytes(28) + xyz(D50)[8:]).ljust(128, b"\0") + table + data


def primaries(colours: Colours) -> NDArray[np.float64]:
    """XYZ of red, green and blue, in columns, as they look where white is D50."""
    corners = np.stack([spread(point) for point in (colours.red, colours.green, colours.blue)], axis=1)
    white = spread(colours.white)
    seen = BRADFORD @ white
    adapted: NDArray[np.float64] = np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / seen) @ BRADFORD
    matrix: NDArray[np.float64] = adapted @ (corners * np.linalg.solve(corners, white))
    return matrix


def spread(point: Point) -> NDArray[np.float64]:
    """XYZ of a chromaticity, Y being 1."""
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def fixed(number: float) -> bytes:
    """A number as ICC writes it, with 16 bits after the point."""
    return struct.pack(">i", round(float(np.clip(number, -32768, 32767)) * 65536))


def xyz(values: NDArray[np.float64]) -> bytes:
    """A tag of three numbers."""
    return b"XYZ " + bytes(4) + b"".join(fixed(value) for value in values)
