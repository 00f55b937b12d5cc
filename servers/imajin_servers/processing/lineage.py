"""What a source says about its own making, and how that is handed on to everything that is made of it.

An image is generated where the caller says so, where a C2PA manifest that holds says so, or where its pixels hold the
invisible mark. Files made of it are signed with a link to it; what is made of any other image gets neither manifest nor mark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image

from imajin_servers.processing.encode import Encoded, Recipe, encode
from imajin_servers.processing.settings import Encoders
from imajin_servers.runtime.credentials.reports import Report
from imajin_servers.runtime.credentials.sealing import Attached, Provenance, Seal
from imajin_servers.runtime.credentials.statements import Parent
from imajin_servers.runtime.credentials.store import MAX_MANIFEST_BYTES
from imajin_servers.runtime.errors import InvalidArgument

if TYPE_CHECKING:
    from imajin_servers.processing.decode import Picture, Source

ID_DIGITS = 8


@dataclass(frozen=True)
class Lineage:
    """That an image was generated, and how what is made of it is signed. Its methods block; they are for threads."""

    seal: Seal
    parent: Parent
    content_id: str

    def signed(self, file: Encoded, actions: Sequence[str]) -> Encoded:
        """`file`, made of the image by `actions`, with its manifest."""
        statement = self.seal.derived(self.parent, list(actions))
        data = self.seal.sign(file.data, file.format, statement, "", "image")
        return replace(file, data=data, credentials=Attached(self.seal.settings.manifests))


def finished(
    image: Image.Image, picture: Picture, recipe: Recipe, encoders: Encoders, actions: Sequence[str]
) -> Encoded:
    """`image`, made of `picture` by `actions`, encoded; signed where the picture was generated."""
    file = encode(image, recipe, encoders)
    return file if picture.lineage is None else picture.lineage.signed(file, [*actions, "c2pa.transcoded"])


def of(source: Source, provenance: Provenance | None, seal: Seal) -> Lineage | None:
    """The lineage of `source`; None for an image that no model made, as far as anyone says.

    Raises InvalidArgument for a manifest that does not go with the bare pixels that it came with.
    """
    said = provenance or Provenance()
    if source.header.format == "raw":
        return of_pixels(source, said, seal)
    report = read(source, seal) if source.signed else None
    if not said.generated and (report is None or not report.generated):
        return None
    content_id = said.content_id or (report.content_id if report is not None else "") or own_id(source)
    held = source.signed if report is not None and report.holds else source.clean
    return Lineage(seal, seal.parent(held, source.header.format), content_id)


def of_pixels(source: Source, said: Provenance, seal: Seal) -> Lineage | None:
    """The lineage of bare pixels, by what came beside them."""
    width, height = source.header.width, source.header.height
    content_id = said.content_id or own_id(source)
    if said.manifest:
        report = seal.store.read_pixels(source.clean, width, height, said.manifest)
        if report is None or not report.holds:
            raise InvalidArgument.field("provenance.manifest", "does not hold for these pixels")
        if said.generated or report.generated:
            return Lineage(seal, seal.store.parent_of_pixels(said.manifest, report), report.content_id or content_id)
    elif said.generated:
        return Lineage(seal, seal.parent_unsigned(source.clean, width, height), content_id)
    return None


def read(source: Source, seal: Seal) -> Report | None:
    """What the file's manifest says; None where there is none, or one too large to be looked at."""
    if source.manifest_bytes > MAX_MANIFEST_BYTES:
        return None
    return seal.store.read(source.signed, source.header.format)


def own_id(source: Source) -> str:
    """An id for an image that has none, out of its bytes."""
    return hashlib.sha256(source.clean).hexdigest()[:ID_DIGITS]
