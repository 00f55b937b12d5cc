"""Reading the images of jobs, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator.jobs.store import FINAL, MAIN_IMAGE, JobStore
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import InvalidArgument, JobCancelled, JobNotFinished, JobNotFound, NotFound
from imajin_servers.runtime.images import CHUNK_BYTES


class Reading:
    """Images of the jobs in a store."""

    def __init__(self, store: JobStore) -> None:
        self.store = store

    async def result(self, job_id: str, name: str) -> tuple[job_pb2.Job, str]:
        """A completed job, and the name of the image that is meant by `name`, which may be empty.

        Raises JobNotFound, JobNotFinished, JobCancelled, a failed job's own error, NotFound, InvalidArgument when
        an empty name may mean several.
        """
        job = await self.store.get(job_id)
        refuse_unless_completed(job)
        if not name:
            if MAIN_IMAGE in job.images:
                return job, MAIN_IMAGE
            if len(job.images) > 1:
                raise InvalidArgument.field("name", f"the job has several images: {', '.join(sorted(job.images))}")
            name = next(iter(job.images))
        await self.store.image_file(job_id, name)
        return job, name

    async def ready(self, job_id: str, name: str) -> job_pb2.JobImage:
        """An image that can be read, though its job may go on. Raises what `result` does where it can't be."""
        try:
            return (await self.store.image_file(job_id, name))[0]
        except NotFound:
            refuse_unless_completed(await self.store.get(job_id))
            raise

    async def images(self, job: job_pb2.Job) -> AsyncGenerator[image_pb2.ImageChunk, None]:
        """Every image of a job that is over, in order of name; says in `job` which chunks hold which image."""
        if job.status not in FINAL:
            return
        for index, name in enumerate(sorted(job.images)):
            job.images[name].image_index = index
            async with aclosing(self.chunks(job.job_id, name, index)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def chunks(self, job_id: str, name: str, index: int) -> AsyncGenerator[image_pb2.ImageChunk, None]:
        """One image as chunks."""
        image, _ = await self.store.image_file(job_id, name)
        info = image_pb2.ImageInfo(
            format=image.format, width=image.width, height=image.height, size_bytes=image.bytes, sha256=image.sha256
        )
        offset = 0
        async with aclosing(self.pieces(job_id, name)) as pieces:
            async for piece in pieces:
                yield image_pb2.ImageChunk(
                    image_index=index,
                    offset=offset,
                    data=piece,
                    info=info if offset == 0 else None,
                    last=offset + len(piece) >= image.bytes,
                )
                offset += len(piece)

    async def pieces(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """The bytes of one image. Raises JobNotFound when the job expires before the first piece."""
        _, path = await self.store.image_file(job_id, name)
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError:
            raise JobNotFound(f"no job {job_id}", metadata={"job_id": job_id}) from None
        with file:
            while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield piece


def refuse_unless_completed(job: job_pb2.Job) -> None:
    """Raises why a job has no result: JobNotFinished, JobCancelled, or what made it fail."""
    if job.status == job_pb2.JOB_STATUS_COMPLETED:
        return
    if job.status == job_pb2.JOB_STATUS_FAILED:
        raise status.from_proto(job.error)
    if job.status == job_pb2.JOB_STATUS_CANCELLED:
        raise JobCancelled(f"job {job.job_id} was cancelled", metadata={"job_id": job.job_id})
    name = job_pb2.JobStatus.Name(job.status).removeprefix("JOB_STATUS_").lower()
    raise JobNotFinished(f"job {job.job_id} is {name}", metadata={"job_id": job.job_id, "status": name})
