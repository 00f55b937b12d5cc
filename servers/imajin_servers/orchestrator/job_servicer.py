"""JobService: work that outlives the call that started it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from google.api import httpbody_pb2

from imajin.job.v1 import job_pb2, job_pb2_grpc
from imajin_servers.orchestrator.flows.worker import Worker
from imajin_servers.orchestrator.jobs.reading import Reading
from imajin_servers.orchestrator.jobs.store import MEDIA_TYPES, JobStore
from imajin_servers.orchestrator.jobs.watching import Watching

DEFAULT_PAGE = 50

if TYPE_CHECKING:
    from imajin_servers.runtime.calls import Context


class JobServicer(job_pb2_grpc.JobServiceServicer):
    """Reads, watches and cancels jobs."""

    def __init__(self, store: JobStore, watching: Watching, worker: Worker) -> None:
        self.store = store
        self.watching = watching
        self.worker = worker
        self.reading = Reading(store)

    async def GetJob(self, request: job_pb2.GetJobRequest, context: Context) -> job_pb2.GetJobResponse:
        """The job without bytes."""
        return job_pb2.GetJobResponse(job=await self.store.get(request.job_id))

    async def ReadJob(
        self, request: job_pb2.ReadJobRequest, context: Context
    ) -> AsyncGenerator[job_pb2.ReadJobResponse, None]:
        """The job with the bytes of its images."""
        job = await self.store.get(request.job_id)
        if request.images != job_pb2.IMAGES_VIEW_URLS:
            async with aclosing(self.reading.images(job)) as chunks:
                async for chunk in chunks:
                    yield job_pb2.ReadJobResponse(chunk=chunk)
        yield job_pb2.ReadJobResponse(job=job)

    async def ListJobs(self, request: job_pb2.ListJobsRequest, context: Context) -> job_pb2.ListJobsResponse:
        """Jobs, newest first."""
        page = await self.store.page(request.status, request.page_size or DEFAULT_PAGE, request.page_token)
        return job_pb2.ListJobsResponse(jobs=page.jobs, next_page_token=page.next_page_token)

    async def WatchJob(
        self, request: job_pb2.WatchJobRequest, context: Context
    ) -> AsyncGenerator[job_pb2.WatchJobResponse, None]:
        """The job's events, replayed and then live."""
        watch = self.watching.watch(request.job_id, request.after_event, previews=not request.skip_previews)
        async with aclosing(watch) as events:
            async for event in events:
                yield event

    async def CancelJob(self, request: job_pb2.CancelJobRequest, context: Context) -> job_pb2.CancelJobResponse:
        """Asks for cancellation."""
        return job_pb2.CancelJobResponse(job=await self.worker.cancel(request.job_id))

    async def GetJobResult(
        self, request: job_pb2.GetJobResultRequest, context: Context
    ) -> AsyncGenerator[job_pb2.GetJobResultResponse, None]:
        """One image of a finished job."""
        job, name = await self.reading.result(request.job_id, request.name)
        image = job.images[name]
        async with aclosing(self.reading.chunks(job.job_id, name, 0)) as chunks:
            async for chunk in chunks:
                yield job_pb2.GetJobResultResponse(chunk=chunk)
        yield job_pb2.GetJobResultResponse(
            result=job_pb2.JobResult(
                format=image.format,
                width=image.width,
                height=image.height,
                seed=job.seed,
                model=job.model,
                name=name,
            )
        )

    async def DownloadJobImage(
        self, request: job_pb2.DownloadJobImageRequest, context: Context
    ) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
        """The bytes of one image."""
        image = await self.reading.ready(request.job_id, request.name)
        content_type = MEDIA_TYPES[image.format]
        async with aclosing(self.reading.pieces(request.job_id, request.name)) as pieces:
            async for piece in pieces:
                yield httpbody_pb2.HttpBody(content_type=content_type, data=piece)
                content_type = ""
