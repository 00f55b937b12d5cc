"""One picture in many sizes, in four stages: analyze the sizes, generate the bases, detect their focal points, crop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from imajin.common.v1 import credentials_pb2, finishing_pb2, image_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.processing.v1 import processing_pb2
from imajin_servers.orchestrator.flows.course import Course
from imajin_servers.orchestrator.flows.run import Run
from imajin_servers.orchestrator.flows.together import together
from imajin_servers.orchestrator.peers.diffusion import Diffusion, Drawn
from imajin_servers.orchestrator.peers.processing import Processing, Upload, upload
from imajin_servers.orchestrator.sizes.planning import Base, Crop, Plan
from imajin_servers.orchestrator.sizes.sizes import Sizes

# Parts of the whole, in the order of the stages; most of the time goes into drawing.
GENERATED = 0.8
DETECTED = 0.85
LARGEST_UPSCALE = 16.0
"""The contract's limit of ClipFocal."""


@dataclass(frozen=True)
class DrawnBase:
    """A base with its pixels cut for the wire."""

    base: Base
    source: Upload
    provenance: credentials_pb2.Provenance
    moderation: finishing_pb2.Moderation
    generating_ms: float


@dataclass(frozen=True)
class BatchSizes:
    """Makes batches; holds what every batch needs."""

    sizes: Sizes
    diffusion: Diffusion
    processing: Processing
    concurrent_bases: int
    concurrent_crops: int
    preview_interval: int

    async def run(self, request: orchestrator_pb2.SubmitBatchSizesRequest, run: Run) -> None:
        """Makes a batch. Raises what the servers answered with; images that were ready by then stay with the job."""
        course = Course()
        async with run.stage("analyze"):
            analyzing = progress_pb2.Progress(analyzing_sizes=progress_pb2.AnalyzingSizes())
            await run.progress(course.part(analyzing, 0.0, 0.0))
            model, plan = await self.sizes.plan(request.sizes, request.model, request.style)
            seed = request.seed if request.HasField("seed") else secrets.randbelow(2**32)
            await run.note(job_pb2.Job(model=model.name, seed=seed))
        batch = Batch(self, request, run, course, model, plan, seed)
        async with run.stage("generate"):
            drawing = [partial(batch.draw, base, number) for number, base in enumerate(plan.bases, start=1)]
            drawn = await together(drawing, self.concurrent_bases)
        async with run.stage("detect"):
            focal_points = await batch.detect(drawn)
        async with run.stage("crop"):
            await batch.crop(drawn, focal_points)


@dataclass(frozen=True)
class Batch:
    """One batch whose sizes are analyzed."""

    means: BatchSizes
    request: orchestrator_pb2.SubmitBatchSizesRequest
    run: Run
    course: Course
    model: diffusion_pb2.Model
    plan: Plan
    seed: int
    shares: dict[Base, float] = field(default_factory=dict)
    """How far each base is that was begun, 0 to 1."""

    async def draw(self, base: Base, number: int) -> DrawnBase:
        """Draws base `number`, 1-based; the diffusion server holds the lease."""
        drawn: Drawn | None = None
        began = time.perf_counter()
        async with aclosing(self.means.diffusion.generate(self.drawing(base))) as events:
            async for event in events:
                if isinstance(event, Drawn):
                    drawn = event
                elif isinstance(event, progress_pb2.Progress):
                    await self.tell_drawing(event, base, number)
                else:
                    await self.run.preview(event)
        assert drawn, "a drawing ends with what was drawn, or raises"
        self.shares[base] = 1.0
        await self.run.note(job_pb2.Job(bases_generated=sum(share == 1.0 for share in self.shares.values())))
        result, milliseconds = drawn.result, (time.perf_counter() - began) * 1000
        return DrawnBase(base, await upload(drawn.image), result.provenance, result.moderation, milliseconds)

    async def tell_drawing(self, progress: progress_pb2.Progress, base: Base, number: int) -> None:
        """Reports progress of one base as that of all of them."""
        # A base counts as done when its pixels are here.
        self.shares[base] = max(self.shares.get(base, 0.0), min(progress.fraction, 0.99))
        bases = len(self.plan.bases)
        progress.fraction = sum(self.shares.values()) / bases
        await self.run.progress(self.course.part(progress, 0.0, GENERATED, number, bases))

    def drawing(self, base: Base) -> diffusion_pb2.GenerateRequest:
        """What is asked of the diffusion server. Text and marks wait for the crops, where they stay whole."""
        request = self.request
        wide, high = self.plan.canvas
        drawing = diffusion_pb2.GenerateRequest(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            model=self.model.name,
            width=base.width,
            height=base.height,
            seed=self.seed,
            noise_canvas=image_pb2.Size(width=wide, height=high),
            format=image_pb2.IMAGE_FORMAT_RAW_RGB8,
            preview_interval=self.means.preview_interval,
            scheduler=request.scheduler,
            loras=request.loras,
        )
        if request.HasField("steps"):
            drawing.steps = request.steps
        if request.HasField("guidance_scale"):
            drawing.guidance_scale = request.guidance_scale
        if request.HasField("priority"):
            drawing.priority = request.priority
        return drawing

    async def detect(self, drawn: Sequence[DrawnBase]) -> dict[Base, image_pb2.FocalPoint]:
        """Finds the subject of each base, and tells the job about its bases."""
        found: dict[Base, image_pb2.FocalPoint] = {}
        facts = job_pb2.Job()
        for number, picture in enumerate(drawn, start=1):
            looking = progress_pb2.Progress(detecting_focal_point=progress_pb2.DetectingFocalPoint())
            share = GENERATED + (DETECTED - GENERATED) * (number - 1) / len(drawn)
            await self.run.progress(self.course.part(looking, share, DETECTED, number, len(drawn)))
            focal_point = await self.means.processing.focal_point(picture.source)
            found[picture.base] = focal_point
            facts.bases.add(
                name=picture.base.name,
                width=picture.base.width,
                height=picture.base.height,
                focal_point=focal_point,
                generating_ms=picture.generating_ms,
                moderation=picture.moderation,
            )
        await self.run.note(facts)
        return found

    async def crop(self, drawn: Sequence[DrawnBase], focal_points: Mapping[Base, image_pb2.FocalPoint]) -> None:
        """Cuts every size, some at a time, the largest first: it takes longest."""
        sources = {picture.base: picture for picture in drawn}
        done = 0

        async def cut(crop: Crop) -> None:
            nonlocal done
            await self.cut(crop, sources[crop.base], focal_points[crop.base])
            done += 1
            await self.tell_cropped(done)

        await self.tell_cropped(done)
        largest_first = sorted(self.plan.crops, key=lambda crop: crop.size.width * crop.size.height, reverse=True)
        await together([partial(cut, crop) for crop in largest_first], self.means.concurrent_crops)

    async def cut(self, crop: Crop, drawn: DrawnBase, focal_point: image_pb2.FocalPoint) -> None:
        """Cuts one size and keeps it."""
        spec = processing_pb2.ClipFocalSpec(
            width=crop.size.width,
            height=crop.size.height,
            focal_point=image_pb2.Point(x=focal_point.x, y=focal_point.y),
            format=self.request.format,
            max_upscale=min(max(self.model.max_upscale, 1.0), LARGEST_UPSCALE),
            provenance=drawn.provenance,
        )
        if self.request.HasField("text_overlay"):
            spec.text_overlay.CopyFrom(self.request.text_overlay)
        if self.request.HasField("watermark"):
            spec.watermark.CopyFrom(self.request.watermark)
        result, image = await self.means.processing.clip_focal(spec, drawn.source)
        described = job_pb2.JobImage(
            width=result.width,
            height=result.height,
            format=result.format,
            focal_point=focal_point,
            base=crop.base.name,
            upscale=result.upscale,
            credentials=result.credentials,
            moderation=drawn.moderation,
        )
        await self.run.image(crop.size.name, described, image.data)

    async def tell_cropped(self, done: int) -> None:
        """Reports how many sizes are cut."""
        total = len(self.plan.crops)
        cropping = progress_pb2.Progress(cropping=progress_pb2.Cropping(done=done, total=total), fraction=done / total)
        await self.run.progress(self.course.part(cropping, DETECTED, 1.0))
