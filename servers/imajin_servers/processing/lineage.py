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

from imajin.common.v1 import credentials_pb2
from imajin_servers.processing.encode import Encoded, Recipe, encode
from imajin_servers.processing.settings import Encoders
from imajin_servers.runtime import marking
from imajin_servers.runtime.credentials.reports import Report, State
from imajin_servers.runtime.credentials.sealing import Attached, Omission, Provenance, Seal
from imajin_servers.runtime.credentials.statements import Parent
from imajin_servers.runtime.credentials.store import MAX_MANIFEST_BYTES
from imajin_servers.runtime.errors import InvalidArgument
from imajin_servers.runtime.marking import Place

if TYPE_CHECKING:
    from imajin_servers.runtime.decoding.decode import Source

ID_DIGITS = 8


@dataclass(frozen=True)
class Lineage:
    """That an image was generated, and how what is made of it is signed. Its methods block; they are for threads."""

    seal: Seal
    parent: Parent
    content_id: str
    whole: bool = False
    """Whether the image is for certain as it was drawn and marked, so that nobody needs to look."""

    def finished(
        self, image: Image.Image, place: Place, recipe: Recipe, encoders: Encoders, actions: Sequence[str]
    ) -> Encoded:
        """`image`, made of the generated one by `actions`, marked, encoded and signed.

        `place` is where a mark of the generated one lies in it.
        """
        # Letters that were drawn over it may have covered the mark.
        whole = self.whole and "c2pa.edited" not in actions
        marked = self.seal.mark(image, self.content_id, place, whole=whole)
        file = encode(marked.image, recipe, encoders)
        return self.signed(file, [*actions, "c2pa.transcoded"], marked.content_id, marked.omission)

    def untouched(self, file: Encoded) -> Encoded:
        """The generated image's own `file` without its metadata, signed anew; its pixels stay as they are."""
        return self.signed(file, ["c2pa.edited.metadata"], "", credentials_pb2.MARK_OMISSION_UNTOUCHED)

    def signed(self, file: Encoded, actions: Sequence[str], content_id: str, omission: Omission) -> Encoded:
        """`file`, made of the generated image by `actions`, with its manifest. `content_id` is the one in its mark."""
        statement = self.seal.derived(self.parent, list(actions))
        data = self.seal.sign(file.data, file.format, statement, content_id, "image")
        return replace(file, data=data, credentials=Attached(self.seal.settings.manifests, content_id, omission))


def of(source: Source, pixels: Image.Image, said: Provenance, seal: Seal) -> Lineage | None:
    """The lineage of `source`, decoded to `pixels`; None for an image that no model made, as far as anyone says.

    Raises InvalidArgument for a manifest that does not go with the bare pixels that it came with.
    """
    known = by_what_is_said(source, said, seal)
    if known is not None or not (seal.settings.marks and seal.settings.detect_marks):
        return known
    found = marking.detect(pixels)
    if found is None:
        return None
    return by_what_is_said(source, Provenance(generated=True, content_id=found.content_id), seal)


def by_what_is_said(source: Source, said: Provenance, seal: Seal) -> Lineage | None:
    """The lineage of `source` by what came with it."""
    if source.header.format == "raw":
        return of_pixels(source, said, seal)
    report = read(source, seal) if source.signed else None
    if not said.generated and (report is None or not report.generated):
        return None
    named = report.content_id if report is not None else ""
    content_id = said.content_id or (named if is_id(named) else own_id(source))
    held = source.signed if report is not None and report.holds else source.clean
    parent = seal.parent(held, source.header.format)
    return Lineage(seal, replace(parent, composite=report is not None and report.composite), content_id)


def is_id(text: str) -> bool:
    """Whether `text` can be the id in a mark; a manifest may say anything."""
    return len(text) == ID_DIGITS and set(text) <= set("0123456789abcdef")


def of_pixels(source: Source, said: Provenance, seal: Seal) -> Lineage | None:
    """The lineage of bare pixels, by what came beside them."""
    width, height = source.header.width, source.header.height
    content_id = said.content_id or own_id(source)
    if said.manifest:
        report = seal.store.read_pixels(source.clean, width, height, said.manifest)
        if report is None or not report.holds:
            raise InvalidArgument.field("provenance.manifest", "does not hold for these pixels")
        if said.generated or report.generated:
            parent = seal.store.parent_of_pixels(said.manifest, report)
            return Lineage(seal, parent, content_id, as_drawn(report, content_id))
    elif said.generated:
        return Lineage(seal, seal.parent_unsigned(source.clean, width, height), content_id)
    return None


def as_drawn(report: Report, content_id: str) -> bool:
    """Whether a signer who is trusted here put the mark of `content_id` into these very pixels when they were drawn."""
    return report.state is State.TRUSTED and report.content_id == content_id and "c2pa.created" in report.actions


def read(source: Source, seal: Seal) -> Report | None:
    """What the file's manifest says; None where there is none, or one too large to be looked at."""
    if source.manifest_bytes > MAX_MANIFEST_BYTES:
        return None
    return seal.store.read(source.signed, source.header.format)


def own_id(source: Source) -> str:
    """An id for an image that has none, out of its bytes."""
    return hashlib.sha256(source.clean).hexdigest()[:ID_DIGITS]
