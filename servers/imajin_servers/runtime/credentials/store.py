"""Manifests into files and out of them, by the C2PA SDK. Blocking, safe in threads; nothing here uses the network unless a
time stamp authority is set.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import structlog

from imajin_servers.runtime.credentials import bare
from imajin_servers.runtime.credentials.identity import Identity, load
from imajin_servers.runtime.credentials.reports import Report, report
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.credentials.stamping import Authority
from imajin_servers.runtime.credentials.statements import PARENT, Created, Parent, Statement, definition

if TYPE_CHECKING:
    import c2pa

log = structlog.get_logger()

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif", "gif": "image/gif"}
MAX_MANIFEST_BYTES = 1 << 20
"""A manifest store above this is not parsed: ours have 3 KiB, and 5 more for every image on the way."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Credentials:
    """Signs and reads. Raises ValueError at once where the settings name a key that can't be used."""

    def __init__(self, settings: CredentialSettings) -> None:
        self.settings = settings
        self.identity: Identity = load(settings)
        address = settings.timestamp_authority
        self.authority = Authority(address, settings.timestamp_seconds) if address else None

    @cached_property
    def context(self) -> c2pa.Context:
        """The SDK's settings: trust by our anchors alone, no network, no thumbnails."""
        import c2pa

        trusting = {
            "version": 1,
            "trust": {"user_anchors": self.identity.anchors.decode()},
            "verify": {
                "verify_after_sign": False,
                "verify_trust": True,
                "remote_manifest_fetch": False,
                "ocsp_fetch": False,
            },
            "builder": {"thumbnail": {"enabled": False}},
        }
        return c2pa.Context.from_dict(trusting)

    @cached_property
    def signer(self) -> c2pa.Signer:
        """The key, in the SDK's hands."""
        return self.signer_with(None)

    @cached_property
    def stamping_signer(self) -> c2pa.Signer:
        """The same; it asks the time stamp authority at each signature."""
        return self.signer_with(self.settings.timestamp_authority.encode())

    def signer_with(self, authority: bytes | None) -> c2pa.Signer:
        """The key, with the address of a time stamp authority or without."""
        import c2pa

        identity = self.identity
        return c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(identity.algorithm.encode(), identity.chain, identity.private_key, authority)
        )

    def stamped(self, sign: Callable[[c2pa.Signer], bytes]) -> bytes:
        """What `sign` gives, with a time stamp where there is an authority and it answers in time, else without."""
        done = self.authority.stamped(lambda: sign(self.stamping_signer)) if self.authority else None
        return sign(self.signer) if done is None else done

    def try_key(self) -> None:
        """Loads the SDK and signs a pixel, so that a key that it refuses is known at the start. Raises ValueError."""
        import c2pa

        try:
            with self.builder(Created("none", EPOCH), bare.MEDIA_TYPE, "pixel", "") as builder:
                # Without a time stamp authority: a server starts where there is no network.
                builder.sign(self.signer, bare.MEDIA_TYPE, io.BytesIO(bare.tiff(bytes(3), 1, 1)), io.BytesIO())
        except c2pa.C2paError as error:
            raise ValueError(f"the credentials' key or certificate is refused: {error}") from error

    def sign(self, file: bytes, format: str, statement: Statement, content_id: str, title: str = "image") -> bytes:
        """`file` (png, jpeg, webp or avif) with a manifest in it."""
        media_type = MEDIA_TYPES[format]

        def sign(signer: c2pa.Signer) -> bytes:
            signed = io.BytesIO()
            with self.builder(statement, media_type, title, content_id) as builder:
                builder.sign(signer, media_type, io.BytesIO(file), signed)
            return signed.getvalue()

        return self.stamped(sign)

    def sign_pixels(self, pixels: bytes, width: int, height: int, statement: Statement, content_id: str) -> bytes:
        """A manifest that goes beside bare RGB pixels."""
        file = bare.tiff(pixels, width, height)

        def sign(signer: c2pa.Signer) -> bytes:
            with self.builder(statement, bare.MEDIA_TYPE, "image", content_id) as builder:
                builder.set_no_embed()
                return bytes(builder.sign(signer, bare.MEDIA_TYPE, io.BytesIO(file)))

        return self.stamped(sign)

    def builder(self, statement: Statement, media_type: str, title: str, content_id: str) -> c2pa.Builder:
        """The manifest before it is signed."""
        import c2pa

        builder = c2pa.Builder.from_json(json.dumps(definition(statement, media_type, title, content_id)), self.context)
        parent = getattr(statement, "parent", None)
        if isinstance(parent, Parent):
            if parent.archive:
                builder.add_ingredient_from_archive(io.BytesIO(parent.archive))
            else:
                builder.add_resource(PARENT, io.BytesIO(parent.manifest))
        return builder

    def read(self, file: bytes, format: str) -> Report | None:
        """What the manifest in `file` says and whether that holds; None where there is no manifest."""
        return self.judged(MEDIA_TYPES[format], file, None)

    def read_pixels(self, pixels: bytes, width: int, height: int, manifest: bytes) -> Report | None:
        """The same of a manifest beside bare pixels."""
        return self.judged(bare.MEDIA_TYPE, bare.tiff(pixels, width, height), manifest)

    def judged(self, media_type: str, file: bytes, manifest: bytes | None) -> Report | None:
        """A report on a manifest; one that says `broken` where the SDK can't read it."""
        import c2pa

        try:
            reader = c2pa.Reader.try_create(media_type, io.BytesIO(file), manifest, context=self.context)
            if reader is None:
                return None
            with reader:
                return report(json.loads(reader.json()))
        except (c2pa.C2paError, ValueError) as error:
            return Report.broken(str(error))

    def parent(self, file: bytes, media_type: str) -> Parent:
        """An encoded image, with or without a manifest, as the one that others are made of."""
        import c2pa

        packed = io.BytesIO()
        with c2pa.Builder.from_json(json.dumps({"format": media_type}), self.context) as builder:
            builder.add_ingredient(json.dumps(ingredient(media_type)), media_type, io.BytesIO(file))
            builder.write_ingredient_archive(PARENT, packed)
        return Parent(archive=packed.getvalue())

    def parent_of_pixels(self, manifest: bytes, judged: Report) -> Parent:
        """Bare pixels, whose `manifest` was `judged`, as the image that others are made of."""
        described: dict[str, Any] = ingredient(bare.MEDIA_TYPE) | {
            "instance_id": judged.instance_id,
            "active_manifest": judged.label,
            "validation_results": judged.results,
            "manifest_data": {"format": "application/c2pa", "identifier": PARENT},
        }
        return Parent(definition=described, manifest=manifest, composite=judged.composite)


def ingredient(media_type: str) -> dict[str, Any]:
    """The image that another one is made of."""
    return {"title": "base", "format": media_type, "relationship": "parentOf", "label": PARENT}
