"""Images from and to files, folders, stdin and stdout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

from imajin_client.images import EXTENSIONS, Image, ImageSource
from imajin_client.names import Format

ENDINGS = {*EXTENSIONS.values(), ".jpeg"}


def read_image(given: str) -> ImageSource:
    """The image that an argument names: a path, or stdin for `-`."""
    if given == "-":
        return sys.stdin.buffer.read()
    return Path(given)


def format_for(given: str, out: str) -> Format | None:
    """The format that was asked for: by name, else by the ending of the file that is to be written."""
    endings = {ending: name for name, ending in EXTENSIONS.items()} | {".jpeg": "jpeg"}
    named = given or ("" if Path(out).is_dir() else endings.get(Path(out).suffix.lower(), ""))
    return cast("Format | None", named or None)


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
