"""Fetch the pinned picture packages and render every concept to a sprite: RGBA, 256 x 256, straight alpha.

Writes `sprites.npy` (N, 256, 256, 4 uint8) and `sprites.jsonl` (one record a sprite: concept, label, style,
tone, package, licence). Styles that begin with "judge-" are seen by the evaluation's classifier only, never
by the image model.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import concepts
import numpy as np
import resvg_py
from PIL import Image

SIZE = 256
SOURCES = json.loads(Path(__file__).with_name("sources.json").read_text())
TONE_NAMES = {
    "1f3fb": "light",
    "1f3fc": "medium-light",
    "1f3fd": "medium",
    "1f3fe": "medium-dark",
    "1f3ff": "dark",
}
TONES = {
    "3d": ("", "1f3fb", "1f3fd", "1f3ff"),
    "flat": ("1f3fc",),
    "gradient": ("1f3fb", "1f3fe"),
    "noto": ("1f3fc", "1f3ff"),
    "judge-firefox": ("",),
    "judge-blob": ("",),
}
Job = tuple[dict[str, object], str, bytes]


def fetch(packages: Path) -> None:
    """Download each package with `npm pack`, check its SHA-256 and unpack it. Raises ValueError when a hash
    differs.
    """
    packages.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        archive = packages / source["file"]
        if not archive.exists():
            subprocess.run(
                ["npm", "pack", "--silent", f"{source['package']}@{source['version']}"],
                cwd=packages,
                check=True,
            )
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != source["sha256"]:
            raise ValueError(f"{archive.name}: sha256 {digest}, expected {source['sha256']}")
        folder = packages / archive.stem
        if not folder.exists():
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")


def emojibase(packages: Path) -> Path:
    """The English emojibase table."""
    return packages / "emojibase-data-17.0.0" / "package" / "en" / "data.json"


def with_tone(hexcode: str, tone: str) -> str:
    """Insert a skin tone after the first code point."""
    first, _, rest = hexcode.partition("-")
    return "-".join(p for p in (first, tone, rest) if p)


def squeezed(name: str) -> str:
    """A name without its hyphens, as the oldest set spells them."""
    return name.replace("-", "")


def pictures(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every picture of one package -> (kind, bytes), kind "svg" or "image"; keyed by code points, or by name where the package has none."""
    if (folder / "assets").is_dir():
        kinds = {".svg": "svg", ".webp": "image"}
        files = [f for f in sorted((folder / "assets").iterdir()) if f.suffix in kinds]
        return {concepts.bare(f.stem): (kinds[f.suffix], f.read_bytes()) for f in files}
    data = json.loads((folder / "icons.json").read_text())
    chars = json.loads((folder / "chars.json").read_text())
    out = {}
    for code, name in (chars or {squeezed(n): n for n in data["icons"]}).items():
        icon = data["icons"].get(name) or data["icons"].get(data.get("aliases", {}).get(name, {}).get("parent"))
        if icon is None:
            continue
        width, height = (icon.get(k, data.get(k, 16)) for k in ("width", "height"))
        head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        body = f'{head} viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>'
        out[concepts.bare(code)] = ("svg", body.encode())
    return out


def jobs(packages: Path) -> Iterator[Job]:
    """Everything to render, with its record."""
    wanted = concepts.load(emojibase(packages))
    for source in SOURCES:
        style = source["style"]
        if style is None:
            continue
        found = pictures(packages / source["file"].removesuffix(".tgz") / "package")
        for concept in wanted:
            for label, hexcode, toned in zip(concept.labels, concept.hexcodes, concept.toned, strict=True):
                for tone in TONES[style] if toned else ("",):
                    kind, data = found.get(with_tone(hexcode, tone)) or found.get(
                        squeezed(concepts.slug(label)), ("", b"")
                    )
                    if not data:
                        continue
                    record = {
                        "concept": concept.name,
                        "label": label,
                        "style": style,
                        "tone": TONE_NAMES.get(tone, ""),
                        "package": f"{source['package']}@{source['version']}",
                        "license": source["license"],
                    }
                    yield record, kind, data


def fit(image: Image.Image, size: int = SIZE) -> np.ndarray | None:
    """Crop to what is opaque, pad to a square and resize (premultiplied, so no dark fringes). None if nothing
    is opaque.
    """
    image = image.convert("RGBA")
    box = image.getchannel("A").point([255 if v > 8 else 0 for v in range(256)]).getbbox()
    if box is None:
        return None
    image = image.crop(box)
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square.convert("RGBa").resize((size, size), Image.Resampling.LANCZOS).convert("RGBA"))


def render(job: Job) -> np.ndarray | None:
    """One job's sprite."""
    _, kind, data = job
    if kind == "svg":
        data = bytes(resvg_py.svg_to_bytes(svg_string=data.decode(), width=SIZE + 64, height=SIZE + 64))
    return fit(Image.open(io.BytesIO(data)))


def build(packages: Path, out: Path, workers: int) -> None:
    """Render everything and write the two files under `out`."""
    todo = list(jobs(packages))
    with ProcessPoolExecutor(workers) as pool:
        sprites = list(pool.map(render, todo, chunksize=16))
    good = [(j[0], s) for j, s in zip(todo, sprites, strict=True) if s is not None]
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "sprites.npy", np.stack([s for _, s in good]))
    (out / "sprites.jsonl").write_text("".join(json.dumps(r) + "\n" for r, _ in good))
    for source in SOURCES:
        if source["style"]:
            mine = [r for r, _ in good if r["style"] == source["style"]]
            print(f"{source['style']:14s} {len(mine):5d} sprites of {len({r['concept'] for r in mine})} concepts")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="where the npm packages are kept")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    fetch(args.packages)
    build(args.packages, args.out, args.workers)


if __name__ == "__main__":
    main()
