"""Work that is submitted: checked while its caller still listens, then put in line."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.orchestrator.flows.generate import check
from imajin_servers.orchestrator.flows.worker import Worker
from imajin_servers.orchestrator.jobs.store import DEFAULT_PRIORITY, Submission
from imajin_servers.orchestrator.peers.diffusion import Diffusion
from imajin_servers.orchestrator.peers.processing import Processing
from imajin_servers.orchestrator.sizes.sizes import Sizes
from imajin_servers.runtime.errors import InvalidArgument

RequestT = TypeVar("RequestT", orchestrator_pb2.SubmitGenerateRequest, orchestrator_pb2.SubmitBatchSizesRequest)


class Submitting:
    """Makes jobs. What can be known to fail is refused here, and makes none."""

    def __init__(self, worker: Worker, sizes: Sizes, diffusion: Diffusion, processing: Processing) -> None:
        self.worker = worker
        self.sizes = sizes
        self.diffusion = diffusion
        self.processing = processing

    async def generate(self, request: orchestrator_pb2.SubmitGenerateRequest) -> job_pb2.Job:
        """Submits one image. Raises InvalidArgument, ModelNotFound, NotFound (family), QueueFull, RequestIdReused."""
        wish = request.generate
        if wish.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
            raise InvalidArgument.field("generate.format", "a job keeps encoded images, no bare pixels")
        check(wish)
        await self.diffusion.model(wish.model, wish.style)
        if not wish.skip_processing:
            await self.processing.check_family(wish.family)
        submission = Submission(
            kind=job_pb2.JOB_KIND_GENERATE,
            request=wish.SerializeToString(),
            prompt=wish.prompt,
            priority=wish.priority if wish.HasField("priority") else DEFAULT_PRIORITY,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return await self.worker.submit(submission)

    async def batch_sizes(self, request: orchestrator_pb2.SubmitBatchSizesRequest) -> job_pb2.Job:
        """Submits a batch. Raises InvalidArgument, NotFound (size), ModelNotFound, QueueFull, RequestIdReused."""
        if request.format == image_pb2.IMAGE_FORMAT_RAW_RGB8:
            raise InvalidArgument.field("format", "a job keeps encoded images, no bare pixels")
        await self.sizes.plan(request.sizes, request.model, request.style)
        submission = Submission(
            kind=job_pb2.JOB_KIND_BATCH_SIZES,
            request=request.SerializeToString(),
            prompt=request.prompt,
            priority=request.priority if request.HasField("priority") else DEFAULT_PRIORITY,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        return await self.worker.submit(submission)


def fingerprint(request: RequestT) -> bytes:
    """Digest of a request's body and kind, without its request id."""
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    kind = type(request).__name__.encode()
    return hashlib.sha256(kind + b"\0" + body.SerializeToString(deterministic=True)).digest()
