"""What the doubles answer to each rpc, by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from google.api import httpbody_pb2
from google.protobuf import timestamp_pb2

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.processing.v1 import page_pb2, processing_pb2, verify_pb2
from imajin.prompt.v1 import prompt_pb2
from imajin.vram.v1 import vram_lease_pb2

from .doubles import hold_open

PIXELS = bytes(range(256)) * 6000
"""Bytes of an image that takes three chunks."""
SMALL = b"small image"


def image_chunks(data: bytes, index: int = 0, size: int = 512 * 1024) -> Iterator[image_pb2.ImageChunk]:
    info = image_pb2.ImageInfo(
        format=image_pb2.IMAGE_FORMAT_WEBP, size_bytes=len(data), sha256=hashlib.sha256(data).digest()
    )
    for offset in range(0, len(data), size):
        yield image_pb2.ImageChunk(
            image_index=index,
            offset=offset,
            data=data[offset : offset + size],
            info=None if offset else info,
            last=offset + size >= len(data),
        )


def denoising(step: int, total: int) -> progress_pb2.Progress:
    return progress_pb2.Progress(denoising=progress_pb2.Denoising(step=step, total_steps=total), fraction=step / total)


def analysis() -> prompt_pb2.AnalyzeContextResponse:
    return prompt_pb2.AnalyzeContextResponse(
        generation_config=prompt_pb2.GenerationConfig(
            style=1, aspect=1, size=image_pb2.Size(width=96, height=64), steps=12, guidance_scale=4, seed=0
        ),
        prompts=[prompt_pb2.ParsedPrompt(name="close", prompt="a panda", negative_prompt="blur")],
        classification=classification(),
        reasoning="first, second",
        engine=prompt_pb2.Engine(name="embedded", model="Small", completion_tokens=9),
        classification_ms=0.5,
        reasoning_ms=20,
    )


def classification() -> prompt_pb2.CulturalClassification:
    return prompt_pb2.CulturalClassification(
        cultures=[prompt_pb2.Culture(name="japanese", display_name="Japan", confidence=0.75, territories=["JP"])],
        attire=["kimono"],
        avoid=["costume"],
        evidence=[prompt_pb2.Evidence(words="kimono", rule="attire/kimono", culture="japanese", weight=1)],
        languages=["ja"],
    )


def AnalyzeContext(request: Any, context: Any) -> Any:
    return analysis()


def StreamAnalyzeContext(request: Any, context: Any) -> Any:
    event = prompt_pb2.StreamAnalyzeContextResponse
    yield event(classification=classification())
    yield event(reasoning_delta="first, ")
    yield event(reasoning_delta="second")
    yield event(prompt=analysis().prompts[0])
    yield event(result=analysis())


def ListModels(request: Any, context: Any) -> Any:
    model = diffusion_pb2.Model(
        name="embedded",
        styles=[1, 2],
        description="small [art]",
        license="Apache-2.0",
        loaded=True,
        is_default=True,
        default_steps=12,
        base_sizes=[image_pb2.Size(width=96, height=64)],
        schedulers=[1, 11],
        loras=[diffusion_pb2.Lora(name="ink", license="CC0-1.0")],
        edits=True,
    )
    return diffusion_pb2.ListModelsResponse(models=[model])


def Generate(request: Any, context: Any) -> Any:
    event = orchestrator_pb2.GenerateResponse
    yield event(progress=progress_pb2.Progress(queued=progress_pb2.Queued(position=2)))
    for step in (1, 2):
        yield event(progress=denoising(step, 2))
        if request.preview_interval:
            yield event(preview=image_pb2.Preview(image_data=b"jpeg", info=image_pb2.ImageInfo(width=8), step=step))
    derivative = list(image_chunks(SMALL, index=1))
    # Images may interleave.
    for chunk in image_chunks(PIXELS):
        yield event(chunk=chunk)
        for other in derivative:
            yield event(chunk=other)
        derivative = []
    yield event(
        result=orchestrator_pb2.GenerateResult(
            format=3,
            width=96,
            height=64,
            seed=request.seed if request.HasField("seed") else 99,
            model="embedded",
            steps=2,
            derivatives=[
                image_pb2.EncodedImage(name="hero-48.webp", image_index=1, format=3, width=48, height=32, quality=80)
            ],
            generating_ms=5,
            processing_ms=2,
        )
    )


def Edit(parts: Any, context: Any) -> Any:
    event = diffusion_pb2.EditResponse
    spec = parts[0].spec
    yield event(progress=denoising(1, 1))
    if spec.preview_interval:
        yield event(preview=image_pb2.Preview(image_data=b"jpeg", info=image_pb2.ImageInfo(width=8), step=1))
    for chunk in image_chunks(uploaded(parts)):
        yield event(chunk=chunk)
    made = diffusion_pb2.GenerateResult(format=3, width=96, height=64, seed=spec.seed, model="embedded", steps=1)
    yield event(result=made)


def SubmitGenerate(request: Any, context: Any) -> Any:
    return orchestrator_pb2.SubmitGenerateResponse(job_id="job-1", status=1)


def SubmitBatchSizes(request: Any, context: Any) -> Any:
    return orchestrator_pb2.SubmitBatchSizesResponse(job_id="job-1", status=1)


def PlanBatchSizes(request: Any, context: Any) -> Any:
    crops = [
        orchestrator_pb2.PlannedCrop(name=name, width=192, height=108, base="landscape", upscale=2, kept=0.84)
        for name in request.sizes
    ]
    base = orchestrator_pb2.PlannedBase(name="landscape", width=96, height=64)
    return orchestrator_pb2.PlanBatchSizesResponse(bases=[base], crops=crops)


def ListSizes(request: Any, context: Any) -> Any:
    return orchestrator_pb2.ListSizesResponse(sizes={"hero": image_pb2.Size(width=1920, height=1080)})


def uploaded(parts: list[Any]) -> bytes:
    """The bytes of an upload, after its spec."""
    assert parts[0].HasField("spec")
    return b"".join(part.chunk.data for part in parts[1:])


def Process(parts: Any, context: Any) -> Any:
    event = processing_pb2.ProcessResponse
    yield event(progress=progress_pb2.Progress(processing=progress_pb2.Processing(done=1, total=2), fraction=0.5))
    for index, data in enumerate((uploaded(parts), SMALL)):
        for chunk in image_chunks(data, index):
            yield event(chunk=chunk)
    yield event(
        result=processing_pb2.ProcessResult(
            format=3,
            width=10,
            height=20,
            derivatives=[image_pb2.EncodedImage(name="card-5.webp", image_index=1, format=3, width=5, height=10)],
            metadata=processing_pb2.SourceMetadata(format=1, width=10, height=20, removed=["exif"]),
        )
    )


def CreateDerivatives(parts: Any, context: Any) -> Any:
    event = processing_pb2.CreateDerivativesResponse
    uploaded(parts)
    for chunk in image_chunks(SMALL):
        yield event(chunk=chunk)
    made = image_pb2.EncodedImage(
        name="hero-640.webp",
        format=3,
        width=640,
        height=360,
        quality=82,
        file_name="hero-640.3fa9c1d2e4b5.webp",
        score=70.5,
    )
    source = page_pb2.PageSource(type="image/webp", srcset="hero-640.3fa9c1d2e4b5.webp 640w")
    page = page_pb2.Page(html='<img src="hero-640.3fa9c1d2e4b5.webp">', sources=[source], width=640, height=360)
    metadata = processing_pb2.SourceMetadata(format=1, thumb_hash="3EgKFwhpaIVPh2aHVnh5WIdp+SVif0IG")
    yield event(result=processing_pb2.DerivativesResult(derivatives=[made], page=page, metadata=metadata))


def ClipFocal(parts: Any, context: Any) -> Any:
    event = processing_pb2.ClipFocalResponse
    spec = parts[0].spec
    for chunk in image_chunks(uploaded(parts)):
        yield event(chunk=chunk)
    found = image_pb2.FocalPoint(x=0.25, y=0.5, method=2, confidence=0.875, boxes=[image_pb2.Box(left=1, width=2)])
    yield event(
        result=processing_pb2.ClipFocalResult(
            format=3,
            width=spec.width,
            height=spec.height,
            focal_point=found,
            crop=image_pb2.Box(width=9, height=9),
            upscale=1.5,
        )
    )


def DetectFocalPoint(parts: Any, context: Any) -> Any:
    uploaded(parts)
    return processing_pb2.DetectFocalPointResponse(focal_point=image_pb2.FocalPoint(x=0.5, y=0.25, method=3))


def Verify(parts: Any, context: Any) -> Any:
    uploaded(parts)
    manifest = verify_pb2.Manifest(
        state=verify_pb2.MANIFEST_STATE_TRUSTED,
        signer="a signer",
        issuer="an organisation",
        created_at=timestamp_pb2.Timestamp(seconds=1_790_000_000),
        model="embedded",
        actions=["c2pa.opened", "c2pa.resized"],
        ancestors=[verify_pb2.Ancestor(title="base", format="image/png", relationship="parentOf", signed=True)],
    )
    mark = verify_pb2.Mark(found=True, content_id="0badcafe", confidence=1, version=1, period=64)
    return verify_pb2.VerifyResponse(
        verdict=verify_pb2.VERDICT_GENERATED, manifest=manifest, mark=mark, format=3, width=640, height=480
    )


def ListFamilies(request: Any, context: Any) -> Any:
    family = processing_pb2.Family(widths=[640, 1280], formats=[3, 4])
    return processing_pb2.ListFamiliesResponse(families={"hero": family}, default_family="hero")


def job(status: int = 3) -> job_pb2.Job:
    told = job_pb2.JobImage(
        url="/jobs/job-1/images/hero", width=192, height=108, format=3, bytes=len(PIXELS), base="landscape", upscale=2
    )
    made = job_pb2.Job(
        job_id="job-1",
        kind=2,
        status=status,
        prompt="a panda",
        images={"hero": told} if status == 3 else {},
        bases_generated=1,
        seed=7,
        model="embedded",
        bases=[job_pb2.JobBase(name="landscape", width=96, height=64, generating_ms=40)],
        last_event=4,
        stage_ms={"generate": 40, "crop": 3},
    )
    made.create_time.FromSeconds(1_700_000_000)
    if status == 4:
        made.error.code, made.error.error = "GPU_OOM", "GPU out of memory"
        made.error.details.update({"requested": "8GB", "available": "4GB"})
    return made


def GetJob(request: Any, context: Any) -> Any:
    return job_pb2.GetJobResponse(job=job())


def CancelJob(request: Any, context: Any) -> Any:
    return job_pb2.CancelJobResponse(job=job(5))


def ListJobs(request: Any, context: Any) -> Any:
    if request.page_token:
        return job_pb2.ListJobsResponse(jobs=[job()])
    return job_pb2.ListJobsResponse(jobs=[job(), job(4)], next_page_token="more")


def WatchJob(request: Any, context: Any) -> Any:
    event = job_pb2.WatchJobResponse
    events = [
        event(sequence=1, progress=denoising(1, 2)),
        event(sequence=1, heartbeat=job_pb2.Heartbeat()),
        event(sequence=2, preview=image_pb2.Preview(image_data=b"jpeg", step=1)),
        event(sequence=3, image_ready=job_pb2.ImageReady(name="hero", image=job().images["hero"])),
        event(sequence=4, job=job()),
    ]
    yield from (item for item in events if item.sequence > request.after_event)


def ReadJob(request: Any, context: Any) -> Any:
    for chunk in image_chunks(PIXELS):
        yield job_pb2.ReadJobResponse(chunk=chunk)
    yield job_pb2.ReadJobResponse(job=job())


def GetJobResult(request: Any, context: Any) -> Any:
    for chunk in image_chunks(PIXELS):
        yield job_pb2.GetJobResultResponse(chunk=chunk)
    result = job_pb2.JobResult(format=3, width=192, height=108, seed=7, model="embedded", name=request.name or "hero")
    yield job_pb2.GetJobResultResponse(result=result)


def DownloadJobImage(request: Any, context: Any) -> Any:
    yield httpbody_pb2.HttpBody(content_type="image/webp", data=SMALL[:5])
    yield httpbody_pb2.HttpBody(data=SMALL[5:])


def card() -> vram_lease_pb2.Device:
    return vram_lease_pb2.Device(
        device_id="simulated-0", name="Simulated", total_bytes=8 * 1024**3, available_bytes=8 * 1024**3, simulated=True
    )


def ListDevices(request: Any, context: Any) -> Any:
    return vram_lease_pb2.ListDevicesResponse(devices=[card()])


def ListLeases(request: Any, context: Any) -> Any:
    held = vram_lease_pb2.Lease(
        lease_id="lease-1", holder="diffusion/embedded", state=2, bytes=1024**3, fencing_token=3
    )
    return vram_lease_pb2.ListLeasesResponse(leases=[held])


def WatchLeases(request: Any, context: Any) -> Any:
    yield vram_lease_pb2.WatchLeasesResponse(devices=[card()])
    hold_open(context)


def HoldLease(requests: Any, context: Any) -> Any:
    first = next(requests)
    yield granted(first.acquire.bytes)
    for request in requests:
        if request.HasField("heartbeat"):
            yield vram_lease_pb2.HoldLeaseResponse(heartbeat_ack=vram_lease_pb2.HeartbeatAck())
        elif request.HasField("resize"):
            yield vram_lease_pb2.HoldLeaseResponse(resized=vram_lease_pb2.Resized(bytes=request.resize.bytes))
        elif request.HasField("release"):
            yield vram_lease_pb2.HoldLeaseResponse(released=vram_lease_pb2.Released(reason=1))
            return


def granted(size: int, interval: float = 0.05, ttl: float = 30) -> vram_lease_pb2.HoldLeaseResponse:
    made = vram_lease_pb2.Granted(lease_id="lease-9", fencing_token=42, device_id="simulated-0", bytes=size)
    made.heartbeat_interval.FromMilliseconds(round(interval * 1000))
    made.ttl.FromMilliseconds(round(ttl * 1000))
    return vram_lease_pb2.HoldLeaseResponse(granted=made)


def third_in_line(told: list[str]) -> Callable[[Any, Any], Iterator[Any]]:
    """An answer to HoldLease that never grants: the holder waits until it releases. Its messages are told to `told`."""

    def hold(requests: Any, context: Any) -> Iterator[Any]:
        for request in requests:
            told.append(request.WhichOneof("message"))
            if told[-1] == "release":
                yield vram_lease_pb2.HoldLeaseResponse(released=vram_lease_pb2.Released(reason=1))
                return
            yield vram_lease_pb2.HoldLeaseResponse(waiting=vram_lease_pb2.WaitingInQueue(position=3))

    return hold
