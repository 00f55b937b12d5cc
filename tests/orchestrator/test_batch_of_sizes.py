"""One picture in many sizes, as a caller sees it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2


async def submitted(house: Any, sizes: list[str], **fields: Any) -> str:
    request = orchestrator_pb2.SubmitBatchSizesRequest(prompt="a happy panda", sizes=sizes, **fields)
    answer = await house.orchestrator.SubmitBatchSizes(request)
    assert answer.status == job_pb2.JOB_STATUS_QUEUED
    return answer.job_id


async def test_the_documented_batch_comes_from_two_bases_of_one_seed(house: Any) -> None:
    job_id = await submitted(house, ["hero", "og", "sidebar", "square"], seed=9)
    job = await house.ended(job_id)
    assert job.status == job_pb2.JOB_STATUS_COMPLETED, job.error
    assert (job.bases_generated, job.seed, job.model) == (2, 9, "embedded")
    assert [base.name for base in job.bases] == ["landscape", "portrait"]
    assert [(r.seed, r.model, r.format) for r in house.diffusion.requests] == [
        (9, "embedded", image_pb2.IMAGE_FORMAT_RAW_RGB8)
    ] * 2
    expected = {"hero": (1920, 1080), "og": (1200, 630), "sidebar": (300, 600), "square": (1080, 1080)}
    assert {name: (image.width, image.height) for name, image in job.images.items()} == expected
    assert job.images["sidebar"].base == "portrait"
    assert job.images["hero"].base == "landscape"
    assert job.images["hero"].upscale == pytest.approx(10)
    assert job.images["hero"].focal_point.method == image_pb2.FOCAL_METHOD_FACE
    assert set(job.stage_ms) == {"analyze", "generate", "detect", "crop"}
    assert job.images["hero"].url == f"/jobs/{job_id}/images/hero"
    body = b""
    async for part in house.jobs.DownloadJobImage(job_pb2.DownloadJobImageRequest(job_id=job_id, name="og")):
        assert part.content_type == ("" if body else "image/webp")
        body += part.data
    assert Image.open(io.BytesIO(body)).size == (1200, 630)
