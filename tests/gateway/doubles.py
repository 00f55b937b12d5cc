"""gRPC servers that speak the contract and answer what is known: all that stands behind a gateway under test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.api import httpbody_pb2
from google.rpc import status_pb2

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin.job.v1 import job_pb2, job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from imajin.processing.v1 import page_pb2, processing_pb2, processing_pb2_grpc, verify_pb2
from imajin.prompt.v1 import prompt_pb2, prompt_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2, vram_lease_pb2_grpc

from .answers import PNG, THUMB, WEBP, analysis, chunks, failed_job, finished_job


class Doubles(
    prompt_pb2_grpc.PromptServiceServicer,
    diffusion_pb2_grpc.DiffusionServiceServicer,
    processing_pb2_grpc.ProcessingServiceServicer,
    vram_lease_pb2_grpc.VramLeaseServiceServicer,
    job_pb2_grpc.JobServiceServicer,
):
    """Every service but the orchestrator's. `seen` are the calls, `fail` the status that calls of an rpc end with."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[Any], dict[str, str]]] = []
        self.fail: dict[str, status_pb2.Status] = {}
        self.fail_late: dict[str, status_pb2.Status] = {}
        self.entered = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.held = asyncio.Event()
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def enter(self, name: str, requests: list[Any], context: Any) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.seen.append((name, requests, metadata))
        self.entered.set()
        if name in self.fail:
            await self.abort(self.fail[name], context)

    async def abort(self, status: status_pb2.Status, context: Any) -> None:
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        trailing = (("grpc-status-details-bin", status.SerializeToString()),) if status.details else ()
        await context.abort(code, status.message, trailing_metadata=trailing)

    async def late(self, name: str, context: Any) -> None:
        if self.hold is not None:
            self.held.set()
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if name in self.fail_late:
            await self.abort(self.fail_late[name], context)

    def request(self, index: int = -1) -> Any:
        return self.seen[index][1][0]

    async def AnalyzeContext(self, request: Any, context: Any) -> Any:
        await self.enter("AnalyzeContext", [request], context)
        await self.late("AnalyzeContext", context)
        return analysis()

    async def StreamAnalyzeContext(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.enter("StreamAnalyzeContext", [request], context)
        answer = prompt_pb2.StreamAnalyzeContextResponse
        yield answer(classification=analysis().classification)
        yield answer(reasoning_delta="A panda: \n")
        await self.late("StreamAnalyzeContext", context)
        yield answer(prompt=analysis().prompts[0])
        yield answer(result=analysis())

    async def ListModels(self, request: Any, context: Any) -> Any:
        await self.enter("ListModels", [request], context)
        return diffusion_pb2.ListModelsResponse(
            models=[
                diffusion_pb2.Model(
                    name="embedded",
                    styles=[1, 2],
                    weight_bytes=2**53 + 1,
                    base_sizes=[image_pb2.Size(width=64, height=64)],
                    schedulers=[4, 11],
                    loras=[diffusion_pb2.Lora(name="ink", description="Lines.", license="CC0-1.0", loaded=True)],
                    edits=True,
                )
            ]
        )

    async def upload(self, name: str, requests: AsyncIterator[Any], context: Any) -> bytes:
        received = []
        try:
            async for request in requests:
                received.append(request)
                self.arrived.set()
        except asyncio.CancelledError:
            self.left.set()
            raise
        if len(received) > 1 and not received[-1].chunk.last:
            self.left.set()
        await self.enter(name, received, context)
        spec, *rest = received
        assert spec.WhichOneof("part") == "spec"
        data = b""
        for number, request in enumerate(rest):
            chunk = request.chunk
            assert chunk.offset == len(data)
            assert chunk.HasField("info") == (number == 0)
            assert chunk.last == (number == len(rest) - 1)
            assert len(chunk.data) <= 2**20
            data += chunk.data
        return data or bytes(spec.spec.image_data)

    async def Edit(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        await self.upload("Edit", requests, context)
        answer = diffusion_pb2.EditResponse
        yield answer(progress=progress_pb2.Progress(denoising=progress_pb2.Denoising(step=1, total_steps=2)))
        for chunk in chunks(PNG, image_pb2.IMAGE_FORMAT_PNG):
            yield answer(chunk=chunk)
        await self.late("Edit", context)
        png = image_pb2.IMAGE_FORMAT_PNG
        yield answer(result=diffusion_pb2.GenerateResult(format=png, width=64, height=48, seed=7, steps=2))

    async def Process(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        data = await self.upload("Process", requests, context)
        answer = processing_pb2.ProcessResponse
        yield answer(progress=progress_pb2.Progress(processing=progress_pb2.Processing(done=1, total=2), fraction=0.5))
        for chunk in chunks(data, image_pb2.IMAGE_FORMAT_WEBP, 1):
            yield answer(chunk=chunk)
        for chunk in chunks(THUMB, image_pb2.IMAGE_FORMAT_WEBP, 0):
            yield answer(chunk=chunk)
        await self.late("Process", context)
        webp = image_pb2.IMAGE_FORMAT_WEBP
        yield answer(
            result=processing_pb2.ProcessResult(
                image_index=1,
                format=webp,
                width=64,
                height=48,
                size_bytes=len(data),
                derivatives=[
                    image_pb2.EncodedImage(name="hero-32.webp", image_index=0, format=webp, width=32, height=24)
                ],
                metadata=processing_pb2.SourceMetadata(format=image_pb2.IMAGE_FORMAT_PNG, width=64, height=48),
            )
        )

    async def CreateDerivatives(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        await self.upload("CreateDerivatives", requests, context)
        answer = processing_pb2.CreateDerivativesResponse
        described = []
        for index, (name, data) in enumerate({"a.webp": WEBP, "b.webp": THUMB}.items()):
            for chunk in chunks(data, image_pb2.IMAGE_FORMAT_WEBP, index):
                yield answer(chunk=chunk)
            described.append(
                image_pb2.EncodedImage(
                    name=name,
                    image_index=index,
                    format=image_pb2.IMAGE_FORMAT_WEBP,
                    size_bytes=len(data),
                    file_name=f"{name[0]}.3fa9c1d2e4b5.webp",
                    score=71.5,
                )
            )
        page = page_pb2.Page(
            html='<img src="b.3fa9c1d2e4b5.webp">',
            sources=[page_pb2.PageSource(type="image/webp", srcset="b.3fa9c1d2e4b5.webp 640w")],
            src="b.3fa9c1d2e4b5.webp",
            sizes="100vw",
            width=640,
            height=480,
        )
        yield answer(result=processing_pb2.DerivativesResult(derivatives=described, page=page))

    async def ClipFocal(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        await self.upload("ClipFocal", requests, context)
        answer = processing_pb2.ClipFocalResponse
        for chunk in chunks(WEBP, image_pb2.IMAGE_FORMAT_WEBP):
            yield answer(chunk=chunk)
        yield answer(
            result=processing_pb2.ClipFocalResult(
                format=image_pb2.IMAGE_FORMAT_WEBP,
                width=300,
                height=600,
                size_bytes=len(WEBP),
                focal_point=image_pb2.FocalPoint(x=0.1, y=0.25, method=image_pb2.FOCAL_METHOD_FACE, confidence=0.9),
                crop=image_pb2.Box(left=1, top=2, width=3, height=6),
                upscale=0.5,
            )
        )

    async def DetectFocalPoint(self, requests: Any, context: Any) -> Any:
        await self.upload("DetectFocalPoint", requests, context)
        return processing_pb2.DetectFocalPointResponse(
            focal_point=image_pb2.FocalPoint(x=0.5, y=0.5, method=image_pb2.FOCAL_METHOD_CENTER)
        )

    async def Verify(self, requests: Any, context: Any) -> Any:
        await self.upload("Verify", requests, context)
        base = verify_pb2.Ancestor(title="base", format="image/png", relationship="parentOf", signed=True)
        return verify_pb2.VerifyResponse(
            verdict=verify_pb2.VERDICT_GENERATED,
            manifest=verify_pb2.Manifest(
                state=verify_pb2.MANIFEST_STATE_TRUSTED,
                issuer="an organisation",
                model="embedded",
                actions=["c2pa.opened", "c2pa.resized"],
                ancestors=[base],
            ),
            mark=verify_pb2.Mark(found=True, content_id="0badcafe", confidence=1, version=1, period=64),
            format=image_pb2.IMAGE_FORMAT_WEBP,
            width=640,
            height=480,
        )

    async def ListFamilies(self, request: Any, context: Any) -> Any:
        await self.enter("ListFamilies", [request], context)
        families = {"hero": processing_pb2.Family(widths=[640, 1280], formats=[image_pb2.IMAGE_FORMAT_WEBP])}
        return processing_pb2.ListFamiliesResponse(families=families, default_family="hero")

    async def ListDevices(self, request: Any, context: Any) -> Any:
        await self.enter("ListDevices", [request], context)
        return vram_lease_pb2.ListDevicesResponse(
            devices=[vram_lease_pb2.Device(device_id="simulated-0", total_bytes=8 * 2**30, simulated=True)]
        )

    async def ListLeases(self, request: Any, context: Any) -> Any:
        await self.enter("ListLeases", [request], context)
        return vram_lease_pb2.ListLeasesResponse()

    async def WatchLeases(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.enter("WatchLeases", [request], context)
        yield vram_lease_pb2.WatchLeasesResponse(devices=[vram_lease_pb2.Device(device_id="simulated-0")])
        await self.late("WatchLeases", context)

    async def ReadJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.enter("ReadJob", [request], context)
        answer = job_pb2.ReadJobResponse
        if request.images != job_pb2.IMAGES_VIEW_URLS:
            for index, data in enumerate((WEBP, THUMB)):
                for chunk in chunks(data, image_pb2.IMAGE_FORMAT_WEBP, index):
                    yield answer(chunk=chunk)
        yield answer(job=finished_job())

    async def ListJobs(self, request: Any, context: Any) -> Any:
        await self.enter("ListJobs", [request], context)
        return job_pb2.ListJobsResponse(jobs=[failed_job()], next_page_token="next")

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.enter("WatchJob", [request], context)
        answer = job_pb2.WatchJobResponse
        progress = progress_pb2.Progress(denoising=progress_pb2.Denoising(step=1, total_steps=4), fraction=0.25)
        events = [
            answer(sequence=1, progress=progress),
            answer(sequence=1, heartbeat=job_pb2.Heartbeat()),
            answer(sequence=2, preview=image_pb2.Preview(image_data=b"\xff\xd8jpeg", step=1)),
            answer(sequence=3, image_ready=job_pb2.ImageReady(name="hero", image=finished_job().images["hero"])),
        ]
        for event in events:
            if event.sequence > request.after_event:
                yield event
        await self.late("WatchJob", context)
        yield answer(sequence=4, job=finished_job())

    async def CancelJob(self, request: Any, context: Any) -> Any:
        await self.enter("CancelJob", [request], context)
        return job_pb2.CancelJobResponse(job=job_pb2.Job(job_id=request.job_id, status=job_pb2.JOB_STATUS_CANCELLED))

    async def GetJobResult(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.enter("GetJobResult", [request], context)
        answer = job_pb2.GetJobResultResponse
        for chunk in chunks(PNG, image_pb2.IMAGE_FORMAT_PNG):
            yield answer(chunk=chunk)
        await self.late("GetJobResult", context)
        yield answer(
            result=job_pb2.JobResult(
                format=image_pb2.IMAGE_FORMAT_PNG,
                width=64,
                height=48,
                seed=7,
                model="embedded",
                name=request.name or "image",
            )
        )

    async def DownloadJobImage(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.enter("DownloadJobImage", [request], context)
        yield httpbody_pb2.HttpBody(content_type="image/png", data=PNG[:1000])
        await self.late("DownloadJobImage", context)
        yield httpbody_pb2.HttpBody(data=PNG[1000:])


class Orchestrator(orchestrator_pb2_grpc.OrchestratorServiceServicer):
    """The orchestrator's own service; its names clash with none of the others in here."""

    def __init__(self, doubles: Doubles) -> None:
        self.doubles = doubles

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.doubles.enter("Generate", [request], context)
        answer = orchestrator_pb2.GenerateResponse
        yield answer(progress=progress_pb2.Progress(queued=progress_pb2.Queued(position=1)))
        yield answer(preview=image_pb2.Preview(image_data=b"\xff\xd8jpeg", step=2))
        for chunk in chunks(PNG, image_pb2.IMAGE_FORMAT_PNG):
            yield answer(chunk=chunk)
        await self.doubles.late("Generate", context)
        yield answer(
            result=orchestrator_pb2.GenerateResult(
                format=image_pb2.IMAGE_FORMAT_PNG,
                width=64,
                height=48,
                seed=request.seed,
                model="embedded",
                steps=4,
                guidance_scale=7.1,
            )
        )

    async def SubmitGenerate(self, request: Any, context: Any) -> Any:
        await self.doubles.enter("SubmitGenerate", [request], context)
        return orchestrator_pb2.SubmitGenerateResponse(job_id="abc123", status=job_pb2.JOB_STATUS_QUEUED)

    async def SubmitBatchSizes(self, request: Any, context: Any) -> Any:
        await self.doubles.enter("SubmitBatchSizes", [request], context)
        return orchestrator_pb2.SubmitBatchSizesResponse(job_id="abc123", status=job_pb2.JOB_STATUS_QUEUED)

    async def PlanBatchSizes(self, request: Any, context: Any) -> Any:
        await self.doubles.enter("PlanBatchSizes", [request], context)
        return orchestrator_pb2.PlanBatchSizesResponse(
            bases=[orchestrator_pb2.PlannedBase(name="landscape", width=96, height=64)],
            crops=[
                orchestrator_pb2.PlannedCrop(
                    name="hero", width=1920, height=1080, base="landscape", upscale=20, kept=0.84
                )
            ],
        )

    async def ListSizes(self, request: Any, context: Any) -> Any:
        await self.doubles.enter("ListSizes", [request], context)
        return orchestrator_pb2.ListSizesResponse(sizes={"og": image_pb2.Size(width=1200, height=630)})
