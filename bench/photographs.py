"""Real photographs out of pinned packages, with faces and subjects boxed by hand (`photographs.json`).

The photographs aren't ours to hand on: they are downloaded once, by pip, npm and apt, into `IMAJIN_BENCH_CACHE` (`.imajin/bench` in
this checkout when unset), and each must have the SHA-256 that was labelled.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from imajin_servers.processing.crop import Box

LABELS = Path(__file__).with_suffix(".json")
CACHE = Path(os.environ.get("IMAJIN_BENCH_CACHE", Path(__file__).parent.parent / ".imajin/bench"))


@dataclass(frozen=True)
class Photograph:
    """A photograph, upright, RGB; the boxes of its faces, or of its subject where it has none, in its pixels."""

    name: str
    package: str
    pixels: Image.Image
    faces: tuple[Box, ...]
    subject: Box | None


def photographs() -> list[Photograph]:
    """All of them, those with faces first. Raises ValueError where a package holds another file than was labelled."""
    labels = json.loads(LABELS.read_text())
    found = []
    for entry in labels["photographs"]:
        folder = unpacked(entry["package"], labels["packages"][entry["package"]])
        path = folder / entry["path"]
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            raise ValueError(f"{path} is not the photograph that was labelled")
        pixels = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        faces = tuple(box(face, pixels.size) for face in entry.get("faces", ()))
        subject = box(entry["subject"], pixels.size) if "subject" in entry else None
        found.append(Photograph(path.name, entry["package"], pixels, faces, subject))
    return found


def box(percent: list[float], size: tuple[int, int]) -> Box:
    """A box in pixels."""
    left, top, right, bottom = (value / 100 * size[index % 2] for index, value in enumerate(percent))
    return Box(left, top, right - left, bottom - top)


def unpacked(name: str, package: dict[str, str]) -> Path:
    """The folder of a package's files, downloaded where it isn't there yet."""
    if package["from"] == "installed":
        spec = importlib.util.find_spec("skimage")
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin).parent.parent
    folder = CACHE / name
    if not (folder / ".whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        download(package, folder)
        for archive in [*folder.glob("*.tar.gz"), *folder.glob("*.tgz")]:
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
        for archive in folder.glob("*.whl"):
            zipfile.ZipFile(archive).extractall(folder)
        for archive in folder.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
        (folder / ".whole").touch()
    return folder


def download(package: dict[str, str], folder: Path) -> None:
    """Puts a package's archive into `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    match package["from"]:
        case "pypi":
            command = [*pip, "--only-binary=:all:", package["name"]]
        case "pypi-source":
            command = [*pip, "--no-build-isolation", "--no-binary=:all:", package["name"]]
        case "npm":
            command = ["npm", "pack", "--silent", package["name"]]
        case _:
            command = ["apt-get", "download", package["name"]]
    subprocess.run(command, cwd=folder, check=True)
