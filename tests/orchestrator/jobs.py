"""What the tests of jobs do over the wire: submit, read, watch and cancel them."""

from __future__ import annotations

import asyncio
from typing import Any

from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.runtime.images import Assembly

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = (
    job_pb2.JOB_STATUS_QUEUED,
    job_pb2.JOB_STATUS_PROCESSING,
    job_pb2.JOB_STATUS_COMPLETED,
    job_pb2.JOB_STATUS_FAILED,
    job_pb2.JOB_STATUS_CANCELLED,
)


class Gate:
    """Holds the diffusion double at a step, and says when it is there."""

    def __init__(self, step: int = 2) -> None:
        self.step = step
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, number: int) -> None:
        if number == self.step:
            self.reached.set()
            await self.open.wait()


async def submit(house: Any, request_id: str = "", **fields: Any) -> str:
    generate = orchestrator_pb2.GenerateRequest(**({"prompt": "a cat"} | fields))
    request = orchestrator_pb2.SubmitGenerateRequest(generate=generate, request_id=request_id)
    return str((await house.orchestrator.SubmitGenerate(request)).job_id)


async def get(house: Any, job_id: str) -> job_pb2.Job:
    return (await house.jobs.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job


async def cancel(house: Any, job_id: str) -> job_pb2.Job:
    return (await house.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job_id))).job


def watch(house: Any, job_id: str, **fields: Any) -> Any:
    return house.jobs.WatchJob(job_pb2.WatchJobRequest(job_id=job_id, **fields))


async def read(call: Any) -> tuple[dict[int, bytes], Any]:
    """The images of a stream by index, and what ended it."""
    images: dict[int, Assembly] = {}
    last = None
    async for response in call:
        assert last is None
        if response.HasField("chunk"):
            images.setdefault(response.chunk.image_index, Assembly(2**26)).add(response.chunk)
        else:
            last = response
    return {index: image.result().data for index, image in images.items()}, last
