"""What the doubles answer with: images, an analysis, jobs, and the statuses of calls that fail."""

from __future__ import annotations

import hashlib

import grpc
from google.protobuf import any_pb2, timestamp_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from imajin.common.v1 import error_pb2, image_pb2
from imajin.job.v1 import job_pb2
from imajin.prompt.v1 import prompt_pb2

PIECE = 300_000
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4000 + b"IEND\xaeB`\x82"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(range(255, -1, -1)) * 3
THUMB = b"RIFF\x10\x00\x00\x00WEBPVP8 thumb"


def chunks(data: bytes, format: image_pb2.ImageFormat, index: int = 0) -> list[image_pb2.ImageChunk]:
    info = image_pb2.ImageInfo(
        format=format, width=64, height=48, size_bytes=len(data), sha256=hashlib.sha256(data).digest()
    )
    return [
        image_pb2.ImageChunk(
            image_index=index,
            offset=offset,
            data=data[offset : offset + PIECE],
            info=info if offset == 0 else None,
            last=offset + PIECE >= len(data),
        )
        for offset in range(0, len(data), PIECE)
    ]


def analysis() -> prompt_pb2.AnalyzeContextResponse:
    return prompt_pb2.AnalyzeContextResponse(
        generation_config=prompt_pb2.GenerationConfig(
            style=1,
            aspect=prompt_pb2.ASPECT_LANDSCAPE,
            size=image_pb2.Size(width=96, height=64),
            steps=20,
            guidance_scale=7.5,
        ),
        prompts=[prompt_pb2.ParsedPrompt(name="Panda", prompt="a panda eats", negative_prompt="blurry")],
        classification=prompt_pb2.CulturalClassification(
            cultures=[prompt_pb2.Culture(name="chinese", display_name="China", confidence=0.8, territories=["CN"])]
        ),
        reasoning="A panda: \n",
        engine=prompt_pb2.Engine(name="embedded", model="SmolLM2-135M-Instruct", completion_tokens=42),
    )


def finished_job() -> job_pb2.Job:
    def image(index: int, data: bytes, width: int, height: int) -> job_pb2.JobImage:
        return job_pb2.JobImage(
            url=f"/jobs/abc123/images/{index}",
            width=width,
            height=height,
            format=image_pb2.IMAGE_FORMAT_WEBP,
            bytes=len(data),
            sha256=hashlib.sha256(data).digest(),
            focal_point=image_pb2.FocalPoint(x=0.5, y=0.25, method=image_pb2.FOCAL_METHOD_SALIENCY),
            base="landscape",
            upscale=1.5,
            image_index=index,
        )

    return job_pb2.Job(
        job_id="abc123",
        kind=job_pb2.JOB_KIND_BATCH_SIZES,
        status=job_pb2.JOB_STATUS_COMPLETED,
        images={"hero": image(0, WEBP, 1920, 1080), "og": image(1, THUMB, 1200, 630)},
        bases_generated=1,
        seed=0,
        model="embedded",
        create_time=timestamp_pb2.Timestamp(seconds=1_700_000_000),
        last_event=4,
        prompt="a panda",
        stage_ms={"generate": 12.5},
    )


def failed_job() -> job_pb2.Job:
    error = error_pb2.Error(error="GPU out of memory", code="GPU_OOM", details={"requested": "8GB", "available": "4GB"})
    return job_pb2.Job(job_id="def", kind=job_pb2.JOB_KIND_GENERATE, status=job_pb2.JOB_STATUS_FAILED, error=error)


def status_of(
    code: grpc.StatusCode, message: str, reason: str = "", retry: float = 0, field: str = "", **metadata: str
) -> status_pb2.Status:
    """The status that a server ends a call with; bare where there is no reason."""
    details: list[Message] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="imajin", metadata=metadata))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if retry:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromMilliseconds(round(retry * 1000))
        details.append(info)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
