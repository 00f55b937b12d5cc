"""A job, as it was when it was read, and the events of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin_client import status
from imajin_client.errors import ImajinError, JobCancelled
from imajin_client.images import Moderation
from imajin_client.names import FINAL, Format, JobStatus, word
from imajin_client.processed import FocalPoint
from imajin_client.progress import Preview, Progress


@dataclass(frozen=True)
class JobImage:
    """A finished image of a job, without its bytes."""

    name: str
    url: str
    """Path of the raw bytes at the REST shim."""
    width: int
    height: int
    format: Format
    size_bytes: int
    focal_point: FocalPoint | None
    """In the base that it was cut from."""
    base: str
    """Name of the base that it was cut from; empty in a generation."""
    upscale: float
    """How far the cut was enlarged; 1 and below means that it was not."""
    moderation: Moderation | None = None
    """What moderation decided about the picture that it was made of."""

    @classmethod
    def from_proto(cls, name: str, image: job_pb2.JobImage) -> JobImage:
        """From the contract's message."""
        return cls(
            name=name,
            url=image.url,
            width=image.width,
            height=image.height,
            format=word(image_pb2.ImageFormat, image.format),
            size_bytes=image.bytes,
            focal_point=FocalPoint.from_proto(image.focal_point) if image.HasField("focal_point") else None,
            base=image.base,
            upscale=image.upscale,
            moderation=Moderation.from_proto(image.moderation) if image.HasField("moderation") else None,
        )


@dataclass(frozen=True)
class JobBase:
    """A base that was drawn, in pixels."""

    name: str
    width: int
    height: int
    focal_point: FocalPoint | None
    generating_ms: float
    moderation: Moderation | None = None
    """What moderation decided about it."""


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read."""

    job_id: str
    status: JobStatus
    kind: str = ""
    """`generate` or `batch-sizes`."""
    prompt: str = ""
    progress: Progress | None = None
    error: ImajinError | None = None
    """Why it failed."""
    images: Mapping[str, JobImage] = field(default_factory=dict)
    """Finished images by name: the sizes of a batch; `image` and the names of its derivatives in a generation."""
    bases: tuple[JobBase, ...] = ()
    bases_generated: int = 0
    seed: int | None = None
    model: str = ""
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    expire_time: datetime | None = None
    last_event: int = 0
    """Number of its latest event: the place to watch on from."""
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    """Time by stage in milliseconds."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL

    def check(self) -> Job:
        """The job itself when it is completed. Raises its error when it failed, JobCancelled when it was cancelled."""
        if self.status == "failed":
            raise self.error or ImajinError("the job failed", reason="INTERNAL", details={"job_id": self.job_id})
        if self.status == "cancelled":
            raise JobCancelled("the job was cancelled", details={"job_id": self.job_id})
        return self

    @classmethod
    def submitted(cls, job_id: str, status: job_pb2.JobStatus, kind: str, prompt: str) -> Job:
        """A job that has just been made."""
        return cls(job_id, word(job_pb2.JobStatus, status), kind, prompt)

    @classmethod
    def from_proto(cls, job: job_pb2.Job) -> Job:
        """From the contract's message."""
        return cls(
            job_id=job.job_id,
            status=word(job_pb2.JobStatus, job.status),
            kind=word(job_pb2.JobKind, job.kind),
            prompt=job.prompt,
            progress=Progress.from_proto(job.progress) if job.HasField("progress") else None,
            error=status.from_proto(job.error) if job.HasField("error") else None,
            images={name: JobImage.from_proto(name, job.images[name]) for name in job.images},
            bases=tuple(
                JobBase(
                    base.name,
                    base.width,
                    base.height,
                    FocalPoint.from_proto(base.focal_point) if base.HasField("focal_point") else None,
                    base.generating_ms,
                    Moderation.from_proto(base.moderation) if base.HasField("moderation") else None,
                )
                for base in job.bases
            ),
            bases_generated=job.bases_generated,
            seed=job.seed if job.HasField("seed") else None,
            model=job.model,
            create_time=moment(job, "create_time"),
            start_time=moment(job, "start_time"),
            end_time=moment(job, "end_time"),
            expire_time=moment(job, "expire_time"),
            last_event=job.last_event,
            stage_ms=dict(job.stage_ms),
        )


def moment(message: Any, name: str) -> datetime | None:
    """The time in a field of a message, in UTC; None when it is absent."""
    return getattr(message, name).ToDatetime(tzinfo=UTC) if message.HasField(name) else None


@dataclass(frozen=True)
class ImageReady:
    """An image of a job can be read."""

    name: str
    image: JobImage
    sequence: int


JobEvent = Progress | Preview | ImageReady | Job
"""What `watch` yields; the Job in its final status comes last. `sequence` numbers the events of a job."""


def job_event(answer: job_pb2.WatchJobResponse) -> JobEvent | None:
    """The event in a message of a watch; None for a heartbeat, or for one that this client does not know."""
    match answer.WhichOneof("event"):
        case "progress":
            return Progress.from_proto(answer.progress, answer.sequence)
        case "preview":
            return Preview.from_proto(answer.preview, answer.sequence)
        case "image_ready":
            ready = answer.image_ready
            return ImageReady(ready.name, JobImage.from_proto(ready.name, ready.image), answer.sequence)
        case "job":
            return Job.from_proto(answer.job)
    return None
