"""One job being worked on, as the flow that does it sees it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator import metrics
from imajin_servers.orchestrator.jobs.store import JobStore
from imajin_servers.orchestrator.jobs.watching import Watchers


class Run:
    """Tells the store, and whoever watches, what happens in a job."""

    def __init__(self, job_id: str, store: JobStore, watchers: Watchers) -> None:
        self.job_id = job_id
        self.store = store
        self.watchers = watchers

    async def progress(self, progress: progress_pb2.Progress) -> None:
        """Reports progress."""
        await self.store.progress(self.job_id, progress)

    async def preview(self, preview: image_pb2.Preview) -> None:
        """Shows a preview to whoever watches now; it is not kept."""
        if self.watchers.anyone(self.job_id):
            sequence = await self.store.take_number(self.job_id)
            if sequence:
                self.watchers.preview(self.job_id, sequence, preview)

    async def image(self, name: str, image: job_pb2.JobImage, data: bytes) -> None:
        """Keeps a finished image, which can be read from now on."""
        await self.store.add_image(self.job_id, name, image, data)

    async def note(self, facts: job_pb2.Job) -> None:
        """Adds facts to the job."""
        await self.store.note(self.job_id, facts)

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncIterator[None]:
        """Notes how long a stage took, once it went well."""
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        metrics.STAGE.labels(name).observe(seconds)
        await self.note(job_pb2.Job(stage_ms={name: seconds * 1000}))
