"""A suite of wire doubles: real gRPC servers of every service, whose answers a test may change."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from google.protobuf import any_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from imajin.common.v1 import image_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin.job.v1 import job_pb2, job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from imajin.processing.v1 import page_pb2, processing_pb2, processing_pb2_grpc, verify_pb2
from imajin.prompt.v1 import prompt_pb2, prompt_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2, vram_lease_pb2_grpc
from imajin_client.addresses import SERVERS

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


class Doubles:
    """The servers, what they were asked, and what they shall answer."""

    def __init__(self) -> None:
        self.asked: dict[str, list[Any]] = defaultdict(list)
        self.errors: dict[str, dict[str, Any]] = {}
        """By rpc: what it fails with instead of answering."""
        self.answers: dict[str, Callable[..., Any]] = {}
        """By rpc: what answers in the place of the double."""
        self.dropped: dict[str, threading.Event] = defaultdict(threading.Event)
        """By rpc: set when a call has ended, by the client or by itself."""
        self.port = 0
        self.server: grpc.Server | None = None
        self.start()

    def start(self) -> None:
        self.server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)], handlers=None)
        prompt_pb2_grpc.add_PromptServiceServicer_to_server(Door(self), self.server)
        diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(Door(self), self.server)
        processing_pb2_grpc.add_ProcessingServiceServicer_to_server(Door(self), self.server)
        vram_lease_pb2_grpc.add_VramLeaseServiceServicer_to_server(Door(self), self.server)
        orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(Door(self), self.server)
        job_pb2_grpc.add_JobServiceServicer_to_server(Door(self), self.server)
        states = health.HealthServicer()
        states.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(states, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self) -> None:
        assert self.server is not None
        self.server.stop(0).wait()

    @property
    def addresses(self) -> dict[str, str]:
        return dict.fromkeys(SERVERS, f"127.0.0.1:{self.port}")

    def fail(self, rpc: str, code: str, reason: str, message: str = "it failed", **facts: Any) -> None:
        self.errors[rpc] = {"code": code, "reason": reason, "message": message, **facts}


def abort(context: grpc.ServicerContext, error: dict[str, Any]) -> None:
    """Ends a call as the suite does it: one ErrorInfo, domain `imajin`."""
    status = status_pb2.Status(code=grpc.StatusCode[error["code"]].value[0], message=error["message"])
    details: list[Any] = [
        error_details_pb2.ErrorInfo(reason=error["reason"], domain="imajin", metadata=error.get("metadata"))
    ]
    if "violations" in error:
        bad = error_details_pb2.BadRequest()
        for field, description in error["violations"]:
            bad.field_violations.add(field=field, description=description)
        details.append(bad)
    if "retry" in error:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error["retry"] * 1000))
        details.append(retry)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode[error["code"]], error["message"])


class Door:
    """Every rpc of every service: notes the request, fails or answers as the test says, else answers as below."""

    def __init__(self, doubles: Doubles) -> None:
        self.doubles = doubles

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def method(request: Any, context: grpc.ServicerContext) -> Any:
            answer = self.doubles.answers.get(name) or globals()[name]
            context.add_callback(self.doubles.dropped[name].set)
            if isinstance(request, Iterator) and name != "HoldLease":
                request = list(request)
            self.doubles.asked[name].append(request)
            if name in self.doubles.errors:
                abort(context, self.doubles.errors[name])
            return answer(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Any:
            yield from method(request, context)

        return stream if name in STREAMS else method


STREAMS = {
    "StreamAnalyzeContext",
    "Generate",
    "Edit",
    "Process",
    "CreateDerivatives",
    "ClipFocal",
    "HoldLease",
    "WatchLeases",
    "WatchJob",
    "ReadJob",
    "GetJobResult",
    "DownloadJobImage",
}


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


def hold_open(context: grpc.ServicerContext, seconds: float = 30) -> None:
    """Keeps a call open until its client has gone."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(seconds)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether `condition` holds within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


@pytest.fixture(scope="session")
def wire() -> Any:
    """What the doubles are made of, for tests that answer otherwise."""
    return sys.modules[__name__]


@pytest.fixture
def doubles() -> Iterator[Doubles]:
    made = Doubles()
    yield made
    made.stop()
