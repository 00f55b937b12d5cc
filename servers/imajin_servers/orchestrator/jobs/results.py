"""Images of jobs as files named after their content."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

OURS = re.compile(r"[0-9a-f]{64}(\.part)?")
PROBE = ".probe"


class Results:
    """Files under `folder`, each named after the SHA-256 of its bytes: the same image is kept once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # A folder that takes no files is known now, and not from the first job's image.
        (folder / PROBE).write_bytes(b"")
        (folder / PROBE).unlink()

    def path(self, sha256: bytes) -> Path:
        """Where the image with this digest lies, or would lie."""
        name = sha256.hex()
        return self.folder / name[:2] / name

    def put(self, data: bytes) -> bytes:
        """Keeps `data` and returns its digest. When this returns the bytes are on the disk."""
        sha256 = hashlib.sha256(data).digest()
        path = self.path(sha256)
        if path.is_file():
            return sha256
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError:
            # On a full disk a piece of an image would take the room that others need.
            unfinished.unlink(missing_ok=True)
            raise
        return sha256

    def remove(self, sha256: bytes) -> None:
        """Deletes the image; nothing happens where there is none."""
        self.path(sha256).unlink(missing_ok=True)

    def files(self) -> Iterator[Path]:
        """The images that lie here, unfinished ones too. Nothing else that lies here is ours."""
        for path in self.folder.glob("*/*"):
            if OURS.fullmatch(path.name) and path.parent.name == path.name[:2]:
                yield path

    def keep_only(self, wanted: Collection[bytes]) -> None:
        """Deletes every image but the `wanted` ones: what a crash left behind."""
        names = {sha256.hex() for sha256 in wanted}
        for path in self.files():
            if path.name not in names:
                path.unlink()
