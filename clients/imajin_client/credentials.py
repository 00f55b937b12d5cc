"""Where an image comes from: what its C2PA manifest and its invisible mark say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import verify_pb2
from imajin_client.names import word

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

Verdict = Literal["generated", "generated-untrusted", "generated-by-mark", "not-generated", "broken", "none"]
"""What credentials say about where an image comes from."""
ManifestState = Literal["trusted", "valid", "invalid", "broken"]
"""Whether a manifest holds; `valid` is one that holds, by a signer that nobody vouches for."""


@dataclass(frozen=True)
class Ancestor:
    """An image that another one was made of."""

    title: str
    format: str
    """Media type."""
    relationship: str
    """`parentOf` for the one that it is a version of."""
    signed: bool
    """Whether it has a manifest of its own."""


@dataclass(frozen=True)
class Manifest:
    """A C2PA manifest."""

    state: ManifestState
    issuer: str
    """Organisation in the signer's certificate."""
    signer: str
    """Name in the signer's certificate."""
    signed_at: datetime | None
    """As a time stamp authority says; None without one."""
    created_at: datetime | None
    """When the picture was made, as the signer says."""
    generator: str
    """Program that made the claim."""
    source_type: str
    """IPTC digital source type."""
    model: str
    prompt: str
    """Empty where the signer kept it private."""
    content_id: str
    """Id that it says is in the invisible mark."""
    actions: tuple[str, ...]
    """What was done to make this file, such as `c2pa.resized`."""
    ancestors: tuple[Ancestor, ...]
    statuses: tuple[str, ...]
    """Codes of the C2PA specification: failures first, then notices."""
    error: str
    """Why it can't be read, where it can't."""

    @classmethod
    def from_proto(cls, message: verify_pb2.Manifest) -> Manifest:
        """From the contract's message."""
        return cls(
            state=word(verify_pb2.ManifestState, message.state),
            issuer=message.issuer,
            signer=message.signer,
            signed_at=time(message.signed_at) if message.HasField("signed_at") else None,
            created_at=time(message.created_at) if message.HasField("created_at") else None,
            generator=message.generator,
            source_type=message.source_type,
            model=message.model,
            prompt=message.prompt,
            content_id=message.content_id,
            actions=tuple(message.actions),
            ancestors=tuple(
                Ancestor(item.title, item.format, item.relationship, item.signed) for item in message.ancestors
            ),
            statuses=tuple(message.statuses),
            error=message.error,
        )


@dataclass(frozen=True)
class Mark:
    """The invisible mark in an image's pixels."""

    found: bool
    content_id: str
    """8 hexadecimal digits; empty where it can't be read."""
    confidence: float
    """1 minus the chance that an unmarked image looks like this."""
    version: int
    period: float
    """Side of the tile that it repeats, in pixels."""


@dataclass(frozen=True)
class Verification:
    """What an image's credentials say, and whether that holds."""

    verdict: Verdict
    manifest: Manifest | None
    mark: Mark
    format: str
    width: int
    """In pixels."""
    height: int
    """In pixels."""

    @property
    def generated(self) -> bool:
        """Whether something that holds says that a model made it."""
        return self.verdict in ("generated", "generated-untrusted", "generated-by-mark")

    @classmethod
    def from_proto(cls, message: verify_pb2.VerifyResponse) -> Verification:
        """From the contract's message."""
        mark = message.mark
        return cls(
            verdict=word(verify_pb2.Verdict, message.verdict),
            manifest=Manifest.from_proto(message.manifest) if message.HasField("manifest") else None,
            mark=Mark(mark.found, mark.content_id, mark.confidence, mark.version, mark.period),
            format=word(image_pb2.ImageFormat, message.format),
            width=message.width,
            height=message.height,
        )


def time(stamp: Timestamp) -> datetime:
    """A time of the contract."""
    return stamp.ToDatetime(UTC)
