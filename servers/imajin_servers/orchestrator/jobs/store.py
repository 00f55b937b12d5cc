"""What a job store must do. SQLite holds jobs by default; another database may come behind the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imajin.common.v1 import error_pb2, image_pb2, progress_pb2
from imajin.job.v1 import job_pb2

FINAL = frozenset({job_pb2.JOB_STATUS_COMPLETED, job_pb2.JOB_STATUS_FAILED, job_pb2.JOB_STATUS_CANCELLED})
"""Statuses that a job never leaves."""
DEFAULT_PRIORITY = 50
MAIN_IMAGE = "image"
"""Name of the main image of a generation among its job's images."""


@dataclass(frozen=True)
class Submission:
    """Work to put in line: the serialized request, and what must be known of it before it is read."""

    kind: job_pb2.JobKind
    request: bytes
    prompt: str
    priority: int = DEFAULT_PRIORITY
    request_id: str = ""
    fingerprint: bytes = b""
    """Digest of the body: the same `request_id` with another one is refused."""


@dataclass(frozen=True)
class Work:
    """A job that was taken from the line, and its serialized request."""

    job: job_pb2.Job
    request: bytes


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first; `next_page_token` is empty at the end."""

    jobs: list[job_pb2.Job]
    next_page_token: str


class JobStore(Protocol):
    """Jobs, their events and their images.

    Every change of a job's visible state appends an event with the next sequence number. A job in a final status
    never changes again; what comes late for it is dropped. Every method raises JobNotFound for an unknown job.
    """

    async def create(self, submission: Submission) -> job_pb2.Job:
        """Puts work in line; the same request id and body give the job that exists.

        Raises RequestIdReused for the same id with another body, QueueFull when too many wait.
        """
        ...

    async def get(self, job_id: str) -> job_pb2.Job:
        """The job as it is now."""
        ...

    async def page(self, status: job_pb2.JobStatus, page_size: int, page_token: str) -> JobPage:
        """Jobs of a status (any when unspecified), newest first. Raises InvalidArgument for a token that is none."""
        ...

    async def claim(self) -> Work | None:
        """Takes the queued job of the highest priority, then the oldest, and marks it as processing."""
        ...

    async def progress(self, job_id: str, progress: progress_pb2.Progress) -> None:
        """Reports progress; of progress in the same phase only the latest is kept."""
        ...

    async def add_image(self, job_id: str, name: str, image: job_pb2.JobImage, data: bytes) -> None:
        """Keeps a finished image; `url`, `bytes` and `sha256` are filled in here."""
        ...

    async def note(self, job_id: str, facts: job_pb2.Job) -> None:
        """Merges `facts` (such as model, seed, bases, stage_ms) into the job, without an event."""
        ...

    async def finish(self, job_id: str, status: job_pb2.JobStatus, error: error_pb2.Error | None = None) -> job_pb2.Job:
        """Ends the job; the first end counts. The terminal event is the last."""
        ...

    async def cancel(self, job_id: str) -> job_pb2.Job:
        """Ends a queued job as cancelled; leaves any other as it is. Returns the job."""
        ...

    async def events(self, job_id: str, after: int) -> Sequence[job_pb2.WatchJobResponse]:
        """The kept events after number `after`, in order."""
        ...

    async def take_number(self, job_id: str) -> int:
        """The next sequence number, for an event that is shown but not kept. 0 when the job is over."""
        ...

    async def image_file(self, job_id: str, name: str) -> tuple[job_pb2.JobImage, Path]:
        """An image and the file of its bytes. Raises NotFound for an unknown name."""
        ...

    async def recover(self) -> Sequence[str]:
        """Fails the jobs that were being worked on when the server ended; returns their ids."""
        ...

    async def sweep(self) -> int:
        """Deletes expired jobs, and images that no job needs; returns how many jobs."""
        ...


MEDIA_TYPES: dict[image_pb2.ImageFormat, str] = {
    image_pb2.IMAGE_FORMAT_PNG: "image/png",
    image_pb2.IMAGE_FORMAT_JPEG: "image/jpeg",
    image_pb2.IMAGE_FORMAT_WEBP: "image/webp",
    image_pb2.IMAGE_FORMAT_AVIF: "image/avif",
}
