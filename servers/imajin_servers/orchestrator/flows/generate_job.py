"""One image as a job."""

from __future__ import annotations

from contextlib import aclosing

from imajin.common.v1 import credentials_pb2, finishing_pb2, image_pb2, progress_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.orchestrator.flows.generate import Made, generate
from imajin_servers.orchestrator.flows.run import Run
from imajin_servers.orchestrator.jobs.store import MAIN_IMAGE
from imajin_servers.orchestrator.peers.diffusion import Diffusion
from imajin_servers.orchestrator.peers.processing import Processing
from imajin_servers.runtime.images import Image


async def generate_job(
    request: orchestrator_pb2.GenerateRequest, run: Run, diffusion: Diffusion, processing: Processing
) -> None:
    """Draws, processes and keeps the images. Raises what the servers answered with."""
    async with aclosing(generate(request, diffusion, processing)) as events:
        async for event in events:
            if isinstance(event, Made):
                await keep(event, run)
            elif isinstance(event, progress_pb2.Progress):
                await run.progress(event)
            else:
                await run.preview(event)


async def keep(made: Made, run: Run) -> None:
    """Keeps what was made with the job."""
    result = made.result
    stages = {"generate": result.generating_ms} | ({"process": result.processing_ms} if result.processing_ms else {})
    await run.note(job_pb2.Job(model=result.model, seed=result.seed, stage_ms=stages))
    main = job_image(made.images[0], result.credentials, result.moderation)
    await run.image(MAIN_IMAGE, main, made.images[0].data)
    for derivative in result.derivatives:
        image = made.images[derivative.image_index]
        described = job_image(image, derivative.credentials, result.moderation)
        await run.image(derivative.name, described, image.data)


def job_image(
    image: Image, credentials: credentials_pb2.Credentials, moderation: finishing_pb2.Moderation
) -> job_pb2.JobImage:
    """What a job says about `image`, and about the picture that it was made of."""
    info: image_pb2.ImageInfo = image.info
    return job_pb2.JobImage(
        width=info.width, height=info.height, format=info.format, credentials=credentials, moderation=moderation
    )
