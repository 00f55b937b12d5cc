"""Jobs: work that outlives the call that started it. Reached as `client.jobs`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin_client import status
from imajin_client.calls import Stream, Wire
from imajin_client.errors import ImajinError, JobCancelled, LlmFailed, Unavailable
from imajin_client.images import Downloads, Image
from imajin_client.names import FINAL, Format, JobStatus, value, word
from imajin_client.progress import Preview, Progress
from imajin_client.working import FocalPoint

RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0)
"""Pauses before a broken watch is taken up again; an event that arrives starts them anew."""


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
        )


@dataclass(frozen=True)
class JobBase:
    """A base that was drawn, in pixels."""

    name: str
    width: int
    height: int
    focal_point: FocalPoint | None
    generating_ms: float


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


class AsyncJobs:
    """Jobs of the orchestrator."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def get(self, job_id: str, *, timeout: float | None = 30) -> Job:
        """Reads a job. Raises JobNotFound."""
        call = self._wire.jobs.GetJob(job_pb2.GetJobRequest(job_id=job_id), timeout=timeout)
        return Job.from_proto((await self._wire.one("orchestrator", call)).job)

    async def list(
        self, *, status: JobStatus | None = None, limit: int | None = 50, timeout: float | None = 30
    ) -> list[Job]:
        """Jobs, newest first: `limit` at most, or all of them when it is None."""
        wanted = value(job_pb2.JobStatus, status, "status")
        found: list[Job] = []
        token = ""
        while limit is None or len(found) < limit:
            size = 200 if limit is None else min(200, limit - len(found))
            request = job_pb2.ListJobsRequest(page_size=size, page_token=token, status=wanted)
            page = await self._wire.one("orchestrator", self._wire.jobs.ListJobs(request, timeout=timeout))
            found += [Job.from_proto(job) for job in page.jobs]
            token = page.next_page_token
            if not token:
                break
        return found

    def watch(self, job_id: str, *, after_event: int = 0, previews: bool = True) -> Stream[JobEvent]:
        """Events after `after_event`, replayed and then live, until the job has ended; the Job comes last.

        A broken connection is taken up again without a gap, for about 15 seconds; then Unavailable is raised. A job
        that failed is an event here: `job.check()` raises its error.
        """
        return Stream(self._watch(job_id, after_event, previews))

    async def _watch(self, job_id: str, after_event: int, previews: bool) -> AsyncGenerator[JobEvent, None]:
        attempt = 0
        while True:
            broken: ImajinError = Unavailable(
                f"the watch of job {job_id} ended before the job", details={"server": "orchestrator"}
            )
            async with aclosing(self._watch_once(job_id, after_event, previews)) as events:
                try:
                    async for sequence, event in events:
                        attempt = 0
                        after_event = max(after_event, sequence)
                        if event is None:
                            continue
                        yield event
                        if isinstance(event, Job):
                            return
                except Unavailable as error:
                    if isinstance(error, LlmFailed):
                        raise
                    broken = error
            if attempt == len(RETRY_SECONDS):
                raise broken
            await asyncio.sleep(RETRY_SECONDS[attempt])
            attempt += 1

    async def _watch_once(
        self, job_id: str, after_event: int, previews: bool
    ) -> AsyncGenerator[tuple[int, JobEvent | None], None]:
        """Number and event of one connection; no event for a heartbeat."""
        request = job_pb2.WatchJobRequest(job_id=job_id, after_event=after_event, skip_previews=not previews)
        async with self._wire.many("orchestrator", self._wire.jobs.WatchJob(request)) as answers:
            async for answer in answers:
                yield answer.sequence, job_event(answer)

    async def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Waits until the job has ended and returns it completed.

        Raises its error when it failed, JobCancelled, and TimeoutError after `timeout` seconds: the job goes on then.
        """
        async with asyncio.timeout(timeout), self.watch(job_id, previews=False) as events:
            async for event in events:
                if isinstance(event, Job):
                    return event.check()
        raise Unavailable(f"the watch of job {job_id} ended before the job", details={"server": "orchestrator"})

    async def cancel(self, job_id: str, *, timeout: float | None = 30) -> Job:
        """Asks for cancellation and returns the job: cancelled, or processing until its step has ended."""
        call = self._wire.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job_id), timeout=timeout)
        return Job.from_proto((await self._wire.one("orchestrator", call)).job)

    async def result(self, job_id: str, name: str = "", *, timeout: float | None = 120) -> Image:
        """One image of a finished job: by its name, or the main one.

        Raises JobNotFinished before the end, the job's own error after a failure, NotFound for an unknown name.
        """
        request = job_pb2.GetJobResultRequest(job_id=job_id, name=name)
        downloads = Downloads()
        async with self._wire.many("orchestrator", self._wire.jobs.GetJobResult(request, timeout=timeout)) as answers:
            async for answer in answers:
                if answer.HasField("chunk"):
                    downloads.add(answer.chunk)
                elif answer.HasField("result"):
                    result = answer.result
                    data, _ = downloads.take(result.image_index)
                    kind = word(image_pb2.ImageFormat, result.format)
                    return Image(
                        data,
                        kind,
                        result.width,
                        result.height,
                        name=result.name,
                        seed=result.seed,
                        model=result.model,
                    )
        raise Unavailable("the result ended before its end", details={"server": "orchestrator"})

    async def images(self, job_id: str, *, timeout: float | None = 300) -> dict[str, Image]:
        """All images of a job by name, with their bytes; those that are ready where the job is not finished."""
        request = job_pb2.ReadJobRequest(job_id=job_id, images=job_pb2.IMAGES_VIEW_INLINE)
        downloads = Downloads()
        async with self._wire.many("orchestrator", self._wire.jobs.ReadJob(request, timeout=timeout)) as answers:
            async for answer in answers:
                if answer.HasField("chunk"):
                    downloads.add(answer.chunk)
                elif answer.HasField("job"):
                    return {name: with_bytes(name, answer.job, downloads) for name in answer.job.images}
        raise Unavailable("the job ended before its end", details={"server": "orchestrator"})

    async def download(self, job_id: str, name: str, *, timeout: float | None = 120) -> bytes:
        """The bytes of one image as they are."""
        request = job_pb2.DownloadJobImageRequest(job_id=job_id, name=name)
        parts = bytearray()
        call = self._wire.jobs.DownloadJobImage(request, timeout=timeout)
        async with self._wire.many("orchestrator", call) as answers:
            async for answer in answers:
                parts += answer.data
        return bytes(parts)


def with_bytes(name: str, job: job_pb2.Job, downloads: Downloads) -> Image:
    """One image of a job with its bytes."""
    told = job.images[name]
    data, _ = downloads.take(told.image_index)
    kind = word(image_pb2.ImageFormat, told.format)
    seed = job.seed if job.HasField("seed") else None
    return Image(data, kind, told.width, told.height, name=name, seed=seed, model=job.model)


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
