"""What an image's credentials say, as one answer."""

from __future__ import annotations

from datetime import datetime

from google.protobuf import timestamp_pb2

from imajin.processing.v1 import verify_pb2 as pb
from imajin_servers.processing import answers
from imajin_servers.processing.picture import Picture
from imajin_servers.runtime import marking
from imajin_servers.runtime.credentials.reports import Report, State
from imajin_servers.runtime.credentials.sealing import Seal
from imajin_servers.runtime.credentials.store import MAX_MANIFEST_BYTES
from imajin_servers.runtime.decoding.decode import Source

STATES: dict[State, pb.ManifestState] = {
    State.TRUSTED: pb.MANIFEST_STATE_TRUSTED,
    State.VALID: pb.MANIFEST_STATE_VALID,
    State.INVALID: pb.MANIFEST_STATE_INVALID,
    State.BROKEN: pb.MANIFEST_STATE_BROKEN,
}


def answer(picture: Picture, seal: Seal) -> pb.VerifyResponse:
    """What is known of the making of `picture`. Blocks."""
    report = judged(picture.source, seal)
    found = marking.detect(picture.pixels)
    mark = pb.Mark()
    if found is not None:
        mark = pb.Mark(
            found=True,
            content_id=found.content_id,
            confidence=found.confidence,
            version=found.version,
            period=found.period,
        )
    return pb.VerifyResponse(
        verdict=verdict(report, marked=mark.found),
        manifest=manifest(report) if report is not None else None,
        mark=mark,
        format=answers.FORMATS[picture.source.header.format],
        width=picture.width,
        height=picture.height,
    )


def judged(source: Source, seal: Seal) -> Report | None:
    """The report on the file's manifest; None where it has none."""
    if not source.signed:
        return None
    if source.manifest_bytes > MAX_MANIFEST_BYTES:
        return Report.broken(
            f"the manifest has {source.manifest_bytes} bytes; more than {MAX_MANIFEST_BYTES} are not read"
        )
    found = seal.store.read(source.signed, source.header.format)
    return found if found is not None else Report.broken("there is something where a manifest belongs, but no manifest")


def verdict(report: Report | None, *, marked: bool) -> pb.Verdict:
    """All of it in a word."""
    if report is not None and report.generated:
        trusted = report.state is State.TRUSTED
        return pb.VERDICT_GENERATED if trusted else pb.VERDICT_GENERATED_UNTRUSTED
    if marked:
        return pb.VERDICT_GENERATED_BY_MARK
    if report is None:
        return pb.VERDICT_NONE
    return pb.VERDICT_NOT_GENERATED if report.holds else pb.VERDICT_BROKEN


def manifest(report: Report) -> pb.Manifest:
    """A report as a message."""
    return pb.Manifest(
        state=STATES[report.state],
        issuer=report.issuer,
        signer=report.signer,
        signed_at=stamp(report.signed_at),
        created_at=stamp(report.created_at),
        generator=report.generator,
        source_type=report.source_type,
        model=report.model,
        prompt=report.prompt,
        content_id=report.content_id,
        actions=report.actions,
        ancestors=[
            pb.Ancestor(title=item.title, format=item.format, relationship=item.relationship, signed=item.signed)
            for item in report.ancestors
        ],
        statuses=report.statuses,
        error=report.error,
    )


def stamp(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    """A time as a message."""
    if time is None:
        return None
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(time)
    return message
