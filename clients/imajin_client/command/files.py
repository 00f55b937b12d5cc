"""Images from and to files, folders, stdin and stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from imajin_client.images import EXTENSIONS, Image, ImageSource

ENDINGS = {*EXTENSIONS.values(), ".jpeg"}


def read_image(given: str) -> ImageSource:
    """The image that an argument names: a path, or stdin for `-`."""
    if given == "-":
        return sys.stdin.buffer.read()
    return Path(given)


def write_image(image: Image, out: str, *, default: str) -> Path | None:
    """Writes the image: to stdout for `-`, to a file where `out` ends like one, else into the folder under `default`."""
    if out == "-":
        sys.stdout.buffer.write(image.data)
        sys.stdout.buffer.flush()
        return None
    path = Path(out)
    if path.suffix.lower() in ENDINGS and not path.is_dir():
        return image.save(path)
    return image.save(path / (default + EXTENSIONS[image.format]))
