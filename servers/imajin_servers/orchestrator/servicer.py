"""OrchestratorService: one image, one picture in many sizes, and which sizes there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from imajin_servers.orchestrator.flows.generate import Made, check, generate
from imajin_servers.orchestrator.flows.submitting import Submitting
from imajin_servers.orchestrator.peers.diffusion import Diffusion
from imajin_servers.orchestrator.peers.processing import Processing
from imajin_servers.orchestrator.sizes.sizes import Sizes
from imajin_servers.runtime.images import chunks

if TYPE_CHECKING:
    from imajin_servers.runtime.calls import Context


class OrchestratorServicer(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """The flows, as calls and as jobs."""

    def __init__(self, diffusion: Diffusion, processing: Processing, sizes: Sizes, submitting: Submitting) -> None:
        self.diffusion = diffusion
        self.processing = processing
        self.sizes = sizes
        self.submitting = submitting

    async def Generate(
        self, request: orchestrator_pb2.GenerateRequest, context: Context
    ) -> AsyncGenerator[orchestrator_pb2.GenerateResponse, None]:
        """Makes one image. A dropped call closes the flow, which cancels what it asked of the others."""
        check(request)
        async with aclosing(generate(request, self.diffusion, self.processing, context.time_remaining())) as events:
            async for event in events:
                if isinstance(event, progress_pb2.Progress):
                    yield orchestrator_pb2.GenerateResponse(progress=event)
                elif isinstance(event, image_pb2.Preview):
                    yield orchestrator_pb2.GenerateResponse(preview=event)
                else:
                    for chunk in await asyncio.to_thread(on_the_wire, event):
                        yield orchestrator_pb2.GenerateResponse(chunk=chunk)
                    yield orchestrator_pb2.GenerateResponse(result=event.result)

    async def SubmitGenerate(
        self, request: orchestrator_pb2.SubmitGenerateRequest, context: Context
    ) -> orchestrator_pb2.SubmitGenerateResponse:
        """Submits one image."""
        job = await self.submitting.generate(request)
        return orchestrator_pb2.SubmitGenerateResponse(job_id=job.job_id, status=job.status)

    async def SubmitBatchSizes(
        self, request: orchestrator_pb2.SubmitBatchSizesRequest, context: Context
    ) -> orchestrator_pb2.SubmitBatchSizesResponse:
        """Submits one picture in many sizes."""
        job = await self.submitting.batch_sizes(request)
        return orchestrator_pb2.SubmitBatchSizesResponse(job_id=job.job_id, status=job.status)

    async def PlanBatchSizes(
        self, request: orchestrator_pb2.PlanBatchSizesRequest, context: Context
    ) -> orchestrator_pb2.PlanBatchSizesResponse:
        """Says how a batch would be drawn."""
        _, plan = await self.sizes.plan(request.sizes, request.model, request.style)
        answer = orchestrator_pb2.PlanBatchSizesResponse()
        for base in plan.bases:
            answer.bases.add(name=base.name, width=base.width, height=base.height)
        for crop in plan.crops:
            answer.crops.add(
                name=crop.size.name,
                width=crop.size.width,
                height=crop.size.height,
                base=crop.base.name,
                upscale=crop.upscale,
                kept=crop.kept,
            )
        return answer

    async def ListSizes(
        self, request: orchestrator_pb2.ListSizesRequest, context: Context
    ) -> orchestrator_pb2.ListSizesResponse:
        """The named sizes."""
        return orchestrator_pb2.ListSizesResponse(
            sizes={
                name: image_pb2.Size(width=width, height=height) for name, (width, height) in self.sizes.named.items()
            }
        )


def on_the_wire(made: Made) -> list[image_pb2.ImageChunk]:
    """Every image of `made` as chunks, numbered as its result says."""
    return [
        chunk
        for index, image in enumerate(made.images)
        for chunk in chunks(image.data, image.info.format, image.info.width, image.info.height, index)
    ]
