"""What is done to every image that a model made, before it leaves: a mark into its pixels, a manifest into its file.

Bare pixels get their manifest beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from PIL import Image

from imajin.common.v1 import credentials_pb2
from imajin_servers.runtime import marking
from imajin_servers.runtime.credentials import bare
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.credentials.statements import Created, Derived, Parent, Statement
from imajin_servers.runtime.credentials.store import MEDIA_TYPES, Credentials

log = structlog.get_logger()


@dataclass(frozen=True)
class Provenance:
    """Where pixels come from, as one server tells another."""

    generated: bool = False
    content_id: str = ""
    manifest: bytes = b""

    def to_proto(self) -> credentials_pb2.Provenance:
        """The contract's message."""
        return credentials_pb2.Provenance(generated=self.generated, content_id=self.content_id, manifest=self.manifest)

    @classmethod
    def from_proto(cls, message: credentials_pb2.Provenance) -> Provenance:
        """From the contract's message."""
        return cls(message.generated, message.content_id, message.manifest)


Omission = credentials_pb2.MarkOmission


@dataclass(frozen=True)
class Attached:
    """What an image carries. Nothing, where no model made it."""

    manifest: bool = False
    content_id: str = ""
    """The id in the mark; empty where there is none."""
    omission: Omission = credentials_pb2.MARK_OMISSION_UNSPECIFIED

    def to_proto(self) -> credentials_pb2.Credentials:
        """The contract's message."""
        return credentials_pb2.Credentials(
            manifest=self.manifest,
            mark=bool(self.content_id),
            content_id=self.content_id,
            mark_omission=self.omission,
        )


@dataclass(frozen=True)
class Marked:
    """An image with the mark of `content_id` in it, or without one and why."""

    image: Image.Image
    content_id: str
    omission: Omission


NOTHING = Attached()
"""What an image carries that no model made."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Seal:
    """Marks and signs as the settings say. Blocking, safe in threads.

    Raises ValueError at once where the settings name a key that can't be used.
    """

    def __init__(self, settings: CredentialSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self.store = Credentials(settings)
        if not settings.marks:
            log.warning("images leave without an invisible mark", setting="credentials.marks = false")
        if not settings.manifests:
            log.warning("images leave without a C2PA manifest", setting="credentials.manifests = false")
            return
        self.store.try_key()
        if self.store.identity.development:
            log.warning(
                "images are signed with a development key that nobody else trusts; docs/credentials.md says how to bring one",
                directory=str(settings.directory),
            )

    def mark(
        self, image: Image.Image, content_id: str, before: marking.Place | None = None, *, whole: bool = False
    ) -> Marked:
        """`image` (RGB or RGBA) with a mark in it, where marks are on and it is large enough.

        `before` is where the mark of the image that it is made of would lie. Where that one is `whole` for certain, and good
        enough in `image`, nothing is looked for.
        """
        if not self.settings.marks:
            return Marked(image, "", credentials_pb2.MARK_OMISSION_OFF)
        if not marking.holds_mark(*image.size):
            return Marked(image, "", credentials_pb2.MARK_OMISSION_TOO_SMALL)
        if whole and before is not None and marking.lasts(*image.size, before):
            return Marked(image, content_id, credentials_pb2.MARK_OMISSION_UNSPECIFIED)
        marked = marking.embed(image, int(content_id, 16), before)
        return Marked(marked, content_id, credentials_pb2.MARK_OMISSION_UNSPECIFIED)

    def created(self, model: str, prompt: str, *, composite: bool = False) -> Created:
        """A picture that `model` drew just now, of another one where it is `composite`.

        The prompt stays private unless the settings say otherwise.
        """
        return Created(model, self.clock(), prompt if self.settings.include_prompt else "", composite)

    def derived(self, parent: Parent, actions: list[str]) -> Derived:
        """An image made just now of `parent`."""
        return Derived(parent, actions, self.clock())

    def parent(self, file: bytes, format: str) -> Parent:
        """An encoded image as the one that others are made of."""
        return self.store.parent(file, MEDIA_TYPES[format]) if self.settings.manifests else Parent()

    def parent_unsigned(self, pixels: bytes, width: int, height: int) -> Parent:
        """Bare pixels that nobody signed as the image that others are made of."""
        if not self.settings.manifests:
            return Parent()
        return self.store.parent(bare.tiff(pixels, width, height), bare.MEDIA_TYPE)

    def sign(self, file: bytes, format: str, statement: Statement, content_id: str, title: str) -> bytes:
        """`file` with a manifest in it; as it is where manifests are off."""
        if not self.settings.manifests:
            return file
        return self.store.sign(file, format, statement, content_id, title)

    def sign_pixels(self, pixels: bytes, width: int, height: int, statement: Statement, content_id: str) -> bytes:
        """A manifest for bare pixels; empty where manifests are off."""
        if not self.settings.manifests:
            return b""
        return self.store.sign_pixels(pixels, width, height, statement, content_id)
