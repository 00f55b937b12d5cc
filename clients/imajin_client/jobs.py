"""Jobs: work that outlives the call that started it. Reached as `client.jobs`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin_client.calls import RETRY_SECONDS, Calls, Stream
from imajin_client.errors import ImajinError, LlmFailed, Unavailable
from imajin_client.images import Downloads, Image
from imajin_client.job import Job, JobEvent, job_event
from imajin_client.names import JobStatus, value, word


class AsyncJobs(Calls):
    """Jobs of the orchestrator."""

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
        ended = False
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
                        ended = isinstance(event, Job)
                except Unavailable as error:
                    if isinstance(error, LlmFailed):
                        raise
                    broken = error
            if ended:
                return
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
        job: Job | None = None
        async with asyncio.timeout(timeout), self.watch(job_id, previews=False) as events:
            async for event in events:
                if isinstance(event, Job):
                    job = event
        if job is not None:
            return job.check()
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
