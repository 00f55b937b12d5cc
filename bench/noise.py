"""A picture that is nobody's: noise with the spectrum of photographs, as a PNG, and as a camera would bring it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from peers import LANCZOS, saved

WIDTH, HEIGHT = 1536, 1024


def picture() -> Image.Image:
    """Noise whose power falls with frequency as that of photographs does (1/f), with colours that go together."""
    rng = np.random.default_rng(0)
    fy, fx = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None, :]
    fall = 1 / np.maximum(np.hypot(fx, fy), 1 / WIDTH) ** 1.3
    layers = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(fall.shape))
        layer = np.fft.irfft2(fall * phases, (HEIGHT, WIDTH))
        layers.append(layer / layer.std())
    light, warm, green = layers
    pixels = np.stack([light + 0.4 * warm, light + 0.2 * green, light - 0.4 * warm], -1)
    return Image.fromarray((pixels * 45 + 128).clip(0, 255).astype(np.uint8))


def png_of(image: Image.Image) -> bytes:
    """`image` as a PNG."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()


def large_jpeg(image: Image.Image) -> tuple[Image.Image, bytes]:
    """The picture as a camera would bring it: 10.7 megapixels of JPEG at quality 92; and what it decodes to."""
    large = image.resize((4000, 2667), LANCZOS)
    data = saved(large, "JPEG", quality=92, progressive=False)
    return Image.open(io.BytesIO(data)).convert("RGB"), data
