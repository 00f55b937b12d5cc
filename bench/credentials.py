"""What credentials cost and what they last through: the invisible mark, the C2PA manifest, and a page's files with and without.

Both parts, or `cost` or `survival` alone; writes bench/results/credentials_*.json and .md. Photographs come in the
scikit-image wheel, drawings from the embedded model.
"""

from __future__ import annotations

import importlib.util
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from imajin_servers.processing import lineage
from imajin_servers.processing.encode import Recipe
from imajin_servers.processing.picture import Picture, decoded
from imajin_servers.processing.pipeline import Resized
from imajin_servers.processing.settings import Encoders, Limits
from imajin_servers.runtime import marking
from imajin_servers.runtime.credentials.sealing import Provenance, Seal
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.credentials.statements import Created
from imajin_servers.runtime.decoding.decode import inspect_raw
from imajin_servers.runtime.marking import code
from imajin_servers.runtime.marking.carriers import coded
from imajin_servers.runtime.marking.detect import fits, weighed
from imajin_servers.runtime.marking.view import view
from results import write

RUNS = 7
ID = 0x0BADCAFE
PROMPTS = ["a happy panda in a green meadow", "a red car", "a slice of watermelon on a white background"]
PROMPTS += ["a lighthouse at night", "a blue bird", "a cup of coffee"]


def photographs() -> Iterator[tuple[str, Image.Image]]:
    """Photographs by name."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    names = ["astronaut.png", "coffee.png", "chelsea.png", "motorcycle_left.png", "rocket.jpg", "hubble_deep_field.jpg"]
    for name in [*names, "retina.jpg", "ihc.png", "camera.png"]:
        yield name, Image.open(Path(spec.origin).parent / "data" / name).convert("RGB")


def drawings() -> Iterator[tuple[str, Image.Image]]:
    """Pictures of the embedded model by prompt, as the pipeline draws them."""
    import torch
    from diffusers import DiffusionPipeline

    from imajin_servers.diffusion.settings import EMBEDDED

    torch.set_num_threads(1)
    pipeline = DiffusionPipeline.from_pretrained(str(EMBEDDED), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for seed, prompt in enumerate(PROMPTS):
        width, height = [(256, 256), (320, 192), (192, 320)][seed % 3]
        noise = torch.Generator().manual_seed(seed)
        made = pipeline(prompt, width=width, height=height, num_inference_steps=20, guidance_scale=4.0, generator=noise)
        yield prompt, made.images[0]


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    """A file."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def through(picture: Image.Image, format: str, **options: object) -> Image.Image:
    """A picture through a file."""
    return Image.open(io.BytesIO(encoded(picture, format, **options))).convert("RGB")


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    """A picture at another size."""
    size = round(picture.width * factor), round(picture.height * factor)
    return picture.resize(size, Image.Resampling.LANCZOS)


def cut(picture: Image.Image, kept: float) -> Image.Image:
    """A part of a picture, off the middle."""
    width, height = round(picture.width * kept), round(picture.height * kept)
    left, top = (picture.width - width) // 3, (picture.height - height) * 2 // 3
    return picture.crop((left, top, left + width, top + height))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "nothing": lambda picture: picture,
    "WebP 82": lambda picture: through(picture, "WEBP", quality=82),
    "JPEG 80": lambda picture: through(picture, "JPEG", quality=80),
    "AVIF 60": lambda picture: through(picture, "AVIF", quality=60, speed=8),
    "half": lambda picture: scaled(picture, 0.5),
    "10% cut off each way": lambda picture: cut(picture, 0.9),
    "10% cut off, WebP 82": lambda picture: through(cut(picture, 0.9), "WEBP", quality=82),
    "30% cut off, WebP 82": lambda picture: through(cut(picture, 0.7), "WEBP", quality=82),
    "half, WebP 82": lambda picture: through(scaled(picture, 0.5), "WEBP", quality=82),
    "10% cut off, half, WebP 82": lambda picture: through(scaled(cut(picture, 0.9), 0.5), "WEBP", quality=82),
    "enlarged by half, JPEG 80": lambda picture: through(scaled(picture, 1.5), "JPEG", quality=80),
}


def accuracy(picture: Image.Image) -> float:
    """The share of coded bits that are heard right, before any is corrected; a half is chance."""
    best = max(fits(view(picture), picture.size), key=lambda fit: fit.score, default=None)
    if best is None:
        return 0.5
    heard = coded(weighed(best.heard))
    return float(np.mean(np.sign(heard) == code.encode(ID)))


def survival() -> None:
    """What the mark lasts through, how faint it is, and whether it is found where it is not."""
    seen = list(drawings())
    large = [(name, scaled(picture, 4)) for name, picture in seen]
    sets = {"photographs": list(photographs()), "drawings, as drawn (192-320 px)": seen, "drawings, 4 times": large}
    rows, unmarked, worst = [], 0, 0.0
    for name, pictures in sets.items():
        marked = [(plain, marking.embed(plain, ID)) for _, plain in pictures]
        psnr = [10 * np.log10(255**2 / np.mean((np.asarray(a, float) - np.asarray(b)) ** 2)) for a, b in marked]
        ssim = [structural_similarity(np.asarray(a), np.asarray(b), channel_axis=2) for a, b in marked]
        faint = f"{min(psnr):.1f} / {statistics.mean(psnr):.1f} dB, SSIM {min(ssim):.3f}"
        rows.append([name, "faintness: PSNR worst / mean", faint, ""])
        for change, apply in CHANGES.items():
            changed = [apply(picture) for _, picture in marked]
            found = [marking.detect(picture) for picture in changed]
            right = sum(mark is not None and mark.content_id == f"{ID:08x}" for mark in found)
            bits = statistics.mean(accuracy(picture) for picture in changed)
            rows.append([name, change, f"{right} of {len(found)}", f"{bits:.3f}"])
        for _, plain in pictures:
            for apply in CHANGES.values():
                unmarked += 1
                mark = marking.detect(apply(plain))
                worst = max(worst, mark.score if mark else 0.0)
    rows.append(["all, not marked", "found in error", f"{int(worst > 0)} of {unmarked}", ""])
    title = "The invisible mark: read after what happens to pictures"
    write("credentials_survival", title, ["pictures", "change", "read", "bits right before correction"], rows)


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU time of one run in milliseconds, the median of some."""
    work()
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        work()
        times.append((time.process_time() - began) * 1000)
    return statistics.median(times)


def cpu_ms_in_turn(*works: Callable[[], object]) -> list[float]:
    """The same of several, run in turn: a busy machine slows all of them down alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(RUNS):
        for work, taken in zip(works, times, strict=True):
            began = time.process_time()
            work()
            taken.append((time.process_time() - began) * 1000)
    return [statistics.median(taken) for taken in times]


def cost() -> None:
    """CPU time of each part by size, and of four derivatives with and without."""
    folder = Path(tempfile.mkdtemp())
    seal = Seal(CredentialSettings(directory=folder))
    photograph = dict(photographs())["retina.jpg"]
    rows: list[list[object]] = []
    for width, height in ((256, 256), (512, 512), (1024, 1024), (1536, 1024), (2048, 2048)):
        picture = photograph.resize((width, height), Image.Resampling.LANCZOS)
        file = encoded(picture, "WEBP", quality=82)
        created = Created("embedded", datetime.now(UTC))
        signed = seal.store.sign(file, "webp", created, "0badcafe")
        size = f"{width} x {height}"
        rows.append([f"mark, {size}", cpu_ms(lambda picture=picture: marking.embed(picture, ID))])
        rows.append([f"look for a mark where there is none, {size}", cpu_ms(lambda p=picture: marking.detect(p))])
        rows.append([f"sign WebP, {size}", cpu_ms(lambda f=file, c=created: seal.store.sign(f, "webp", c, "0badcafe"))])
        rows.append([f"read and check the manifest, {size}", cpu_ms(lambda s=signed: seal.store.read(s, "webp"))])
        pixels = picture.tobytes()
        sign = lambda p=pixels, w=width, h=height, c=created: seal.store.sign_pixels(p, w, h, c, "0badcafe")  # noqa: E731
        rows.append([f"sign bare pixels, {size}", cpu_ms(sign)])
    rows.append(["manifest of a drawn WebP, bytes", len(signed) - len(file)])
    rows += derivatives(photograph.resize((1536, 1024), Image.Resampling.LANCZOS), seal)
    write("credentials_cost", "What credentials cost, CPU milliseconds on one core", ["figure", "value"], rows)


def derivatives(base: Image.Image, seal: Seal) -> list[list[object]]:
    """Four WebP widths of a base that was drawn, from bare pixels, bare and with credentials."""
    marked = marking.embed(base, ID)
    pixels = marked.tobytes()
    manifest = seal.sign_pixels(pixels, *base.size, Created("embedded", datetime.now(UTC)), f"{ID:08x}")
    source = inspect_raw(pixels, *base.size, Limits())
    said = Provenance(True, f"{ID:08x}", manifest)

    def make(*, with_credentials: bool) -> int:
        picture = decoded(source)
        if with_credentials:
            picture = Picture(picture.pixels, source, lineage.of(source, picture.pixels, said, seal))
        total = 0
        for width in (320, 640, 1024, 1536):
            work = Resized(width, round(width * 2 / 3), Recipe("webp", 82))
            total += len(work.do(picture, Encoders()).data)
        return total

    bare, full = cpu_ms_in_turn(lambda: make(with_credentials=False), lambda: make(with_credentials=True))
    more = make(with_credentials=True) - make(with_credentials=False)
    return [
        ["four WebP derivatives of 1536 x 1024, bare", bare],
        ["four WebP derivatives of 1536 x 1024, marked and signed", full],
        ["ratio with credentials / without", full / bare],
        ["bytes that credentials add to one derivative, mean", more / 4],
    ]


if __name__ == "__main__":
    for part in sys.argv[1:] or ["cost", "survival"]:
        {"cost": cost, "survival": survival}[part]()
