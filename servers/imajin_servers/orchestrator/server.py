"""Puts the orchestrator together: store, worker, sweeper, and its two services on one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import structlog

from imajin.job.v1 import job_pb2, job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from imajin_servers.orchestrator.clock import Clock, SystemClock
from imajin_servers.orchestrator.flows.batch_sizes import BatchSizes
from imajin_servers.orchestrator.flows.generate_job import generate_job
from imajin_servers.orchestrator.flows.run import Run
from imajin_servers.orchestrator.flows.submitting import Submitting
from imajin_servers.orchestrator.flows.worker import Flow, Worker
from imajin_servers.orchestrator.job_servicer import JobServicer
from imajin_servers.orchestrator.jobs.store import JobStore, Work
from imajin_servers.orchestrator.jobs.threaded import FolderRefused, SqliteJobStore
from imajin_servers.orchestrator.jobs.watching import Watchers, Watching
from imajin_servers.orchestrator.peers.diffusion import Diffusion
from imajin_servers.orchestrator.peers.processing import Processing
from imajin_servers.orchestrator.servicer import OrchestratorServicer
from imajin_servers.orchestrator.settings import OrchestratorSettings
from imajin_servers.orchestrator.sizes.sizes import Sizes
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import Lifetime, Service

log = structlog.get_logger()


@asynccontextmanager
async def build(settings: OrchestratorSettings, lifetime: Lifetime) -> AsyncIterator[Sequence[Service]]:
    """The orchestrator's services. Ends the process with a line to read when its data directory can't be used."""
    try:
        async with assembled(settings, lifetime, SystemClock()) as services:
            yield services
    except FolderRefused as error:
        raise SystemExit(f"imajin orchestrator: {error}; set IMAJIN_ORCHESTRATOR_DATA_DIR") from error


@asynccontextmanager
async def assembled(
    settings: OrchestratorSettings, lifetime: Lifetime, clock: Clock
) -> AsyncIterator[Sequence[Service]]:
    """The orchestrator's services on `clock`. Raises FolderRefused."""
    watchers = Watchers()
    async with (
        connect(settings.addresses.diffusion) as to_diffusion,
        connect(settings.addresses.processing) as to_processing,
        SqliteJobStore.open(
            settings.data_dir, clock, settings.retention_seconds, settings.max_queued, watchers.changed
        ) as store,
    ):
        direct = Peers(to_diffusion, to_processing, settings.max_image_bytes)
        # Nobody holds the line for a job, so it waits where a caller is told to come again.
        patient = Peers(to_diffusion, to_processing, settings.max_image_bytes, clock)
        sizes = Sizes(settings.named_sizes, settings.min_kept, direct.diffusion)
        worker = Worker(store, watchers, flow_of(settings, patient, sizes), clock, settings.concurrent_jobs)
        for job_id in await store.recover():
            log.warning("job failed with the server that worked on it", job_id=job_id)
        background = [
            asyncio.create_task(worker.run(), name="worker"),
            asyncio.create_task(sweep(store, clock, settings.sweep_seconds), name="sweep"),
            asyncio.create_task(stop_on(lifetime.draining, worker), name="drain"),
        ]
        submitting = Submitting(worker, sizes, direct.diffusion, direct.processing)
        watching = Watching(store, watchers, clock, settings.heartbeat_seconds, lifetime.draining)
        try:
            yield [
                Service(
                    orchestrator_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name,
                    orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server,
                    OrchestratorServicer(direct.diffusion, direct.processing, sizes, submitting),
                ),
                Service(
                    job_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
                    job_pb2_grpc.add_JobServiceServicer_to_server,
                    JobServicer(store, watching, worker),
                ),
            ]
        finally:
            await worker.drain(settings.drain_seconds)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)


class Peers:
    """The servers that drawings and crops come from, with `patience` where a full line is waited for."""

    def __init__(
        self,
        to_diffusion: grpc.aio.Channel,
        to_processing: grpc.aio.Channel,
        max_image_bytes: int,
        patience: Clock | None = None,
    ) -> None:
        self.diffusion = Diffusion(to_diffusion, max_image_bytes, patience)
        self.processing = Processing(to_processing, max_image_bytes, patience)


def flow_of(settings: OrchestratorSettings, peers: Peers, sizes: Sizes) -> Flow:
    """What is done for a job of either kind."""
    batch = BatchSizes(
        sizes,
        peers.diffusion,
        peers.processing,
        settings.concurrent_bases,
        settings.concurrent_crops,
        settings.preview_interval,
    )

    async def flow(work: Work, run: Run) -> None:
        for server in (peers.diffusion, peers.processing):
            await server.wait(settings.wait_for_servers_seconds)
        if work.job.kind == job_pb2.JOB_KIND_BATCH_SIZES:
            await batch.run(orchestrator_pb2.SubmitBatchSizesRequest.FromString(work.request), run)
        else:
            request = orchestrator_pb2.GenerateRequest.FromString(work.request)
            await generate_job(request, run, peers.diffusion, peers.processing)

    return flow


async def sweep(store: JobStore, clock: Clock, seconds: float) -> None:
    """Deletes expired jobs, now and every `seconds`."""
    while True:
        try:
            if count := await store.sweep():
                log.info("expired jobs deleted", count=count)
        except Exception as error:
            log.error("expired jobs could not be deleted", exc_info=error)
        await clock.sleep(seconds)


async def stop_on(draining: asyncio.Event, worker: Worker) -> None:
    """Stops taking jobs when the server drains."""
    await draining.wait()
    worker.stop()
