"""Runs queued jobs, some at a time, the highest priority first. A job goes on whoever watches it, or nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from imajin.common.v1 import error_pb2
from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator import metrics
from imajin_servers.orchestrator.clock import Clock
from imajin_servers.orchestrator.flows.run import Run
from imajin_servers.orchestrator.jobs.store import JobStore, Submission, Work
from imajin_servers.orchestrator.jobs.watching import Watchers
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import Draining, ServerUnavailable

log = structlog.get_logger()
Flow = Callable[[Work, Run], Awaitable[None]]
"""Does the work of one job, and raises what went wrong."""
RETRY_SECONDS = 1.0


class Worker:
    """Takes jobs from the store and runs `flow` on each."""

    def __init__(self, store: JobStore, watchers: Watchers, flow: Flow, clock: Clock, concurrent_jobs: int) -> None:
        self.store = store
        self.watchers = watchers
        self.flow = flow
        self.clock = clock
        self.concurrent_jobs = concurrent_jobs
        self.news = asyncio.Event()
        self.stopping = False
        self.stopped_at = 0.0
        self.running: dict[str, asyncio.Task[None]] = {}
        self.cancelling: set[str] = set()
        self.endings: set[asyncio.Task[None]] = set()

    async def submit(self, submission: Submission) -> job_pb2.Job:
        """Puts work in line. Raises QueueFull, RequestIdReused, StorageFull, Draining."""
        if self.stopping:
            raise Draining("the server is shutting down")
        job = await self.store.create(submission)
        self.news.set()
        return job

    async def cancel(self, job_id: str) -> job_pb2.Job:
        """Ends a queued job at once, and asks a running one to end. One that is over stays as it is."""
        job = await self.store.cancel(job_id)
        if job.status == job_pb2.JOB_STATUS_PROCESSING:
            self.cancelling.add(job_id)
            # A job that was taken a moment ago has no task yet; `start` looks for it.
            if job_id in self.running:
                self.running[job_id].cancel()
        return job

    async def run(self) -> None:
        """Works until `stop`."""
        while not self.stopping:
            self.news.clear()
            work = None
            if len(self.running) < self.concurrent_jobs:
                try:
                    work = await self.store.claim()
                except Exception as error:
                    log.error("no job could be taken", exc_info=error)
                    await self.clock.sleep(RETRY_SECONDS)
                    continue
            if work is None:
                await self.news.wait()
            else:
                self.start(work)

    def start(self, work: Work) -> None:
        """Starts on a job. Its end is kept by a task of its own, which no cancel reaches."""
        job_id = work.job.job_id
        task = asyncio.create_task(self.work(work), name=f"job {job_id}")
        self.running[job_id] = task
        metrics.RUNNING.set(len(self.running))
        if job_id in self.cancelling:
            task.cancel()
        ending = asyncio.create_task(self.see_through(work.job, task), name=f"end of job {job_id}")
        self.endings.add(ending)
        ending.add_done_callback(self.endings.discard)

    async def work(self, work: Work) -> None:
        """Runs the flow of one job, its id in every log line and upstream call."""
        job_id = work.job.job_id
        structlog.contextvars.bind_contextvars(request_id=job_id, job_id=job_id)
        log.info("job started")
        await self.flow(work, Run(job_id, self.store, self.watchers))

    async def see_through(self, job: job_pb2.Job, task: asyncio.Task[None]) -> None:
        """Waits for the end of a job and keeps how it ended."""
        job_id, began = job.job_id, time.monotonic()
        try:
            await asyncio.wait([task])
            ending, error = self.ending(job_id, task)
            metrics.took(job.kind, ending, time.monotonic() - began)
            await self.keep_end(job_id, ending, error)
        finally:
            del self.running[job_id]
            metrics.RUNNING.set(len(self.running))
            self.cancelling.discard(job_id)
            self.news.set()

    async def keep_end(self, job_id: str, ending: job_pb2.JobStatus, error: error_pb2.Error) -> None:
        """Keeps how a job ended. A store that can't, as on a full disk, is asked until it can: nobody else ends the job."""
        told = False
        while True:
            try:
                await self.store.finish(job_id, ending, error)
                log.info("job ended", job_id=job_id, status=job_pb2.JobStatus.Name(ending), reason=error.code)
                return
            except Exception as failure:
                if not told:
                    log.error("the end of a job could not be kept", job_id=job_id, exc_info=failure)
                told = True
            if self.stopping:
                # It stays in `processing` until the next start fails it.
                return
            await self.clock.sleep(RETRY_SECONDS)

    def ending(self, job_id: str, task: asyncio.Task[None]) -> tuple[job_pb2.JobStatus, error_pb2.Error]:
        """The final status of a job whose task is over, and why."""
        if task.cancelled():
            if job_id in self.cancelling:
                return job_pb2.JOB_STATUS_CANCELLED, error_pb2.Error()
            stopped = ServerUnavailable("the orchestrator stopped", metadata={"server": "orchestrator"})
            return job_pb2.JOB_STATUS_FAILED, status.to_proto(stopped)
        failure = task.exception()
        if failure is None:
            return job_pb2.JOB_STATUS_COMPLETED, error_pb2.Error()
        return job_pb2.JOB_STATUS_FAILED, status.to_proto(status.from_exception(failure))

    def stop(self) -> None:
        """Takes no more jobs; the running ones go on."""
        if not self.stopping:
            self.stopping = True
            self.stopped_at = asyncio.get_running_loop().time()
            self.news.set()

    async def drain(self, seconds: float) -> None:
        """Gives the running jobs until `seconds` after `stop` to end, then cuts them short."""
        self.stop()
        left = self.stopped_at + seconds - asyncio.get_running_loop().time()
        if self.endings:
            await asyncio.wait(self.endings, timeout=max(left, 0.0))
        for task in self.running.values():
            task.cancel()
        if self.endings:
            await asyncio.wait(self.endings)
