"""Jobs, as those see them who submit, read and list them."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2

from .jobs import COMPLETED, PROCESSING, Gate, get, read, submit, watch


async def test_a_generation_as_a_job(house: Any) -> None:
    job_id = await submit(house, seed=5, family="hero", width=160)
    job = await house.ended(job_id)
    assert (job.status, job.kind, job.seed, job.model) == (COMPLETED, job_pb2.JOB_KIND_GENERATE, 5, "embedded")
    assert set(job.images) == {"image", "hero-64.webp"}
    assert set(job.stage_ms) == {"generate", "process"}
    for made in job.images.values():
        assert (made.moderation.image_checked, made.moderation.image_score) == (True, 0.25)
        assert (made.moderation.threshold, made.moderation.prompt_level) == (0.5, "strict")
    assert job.progress.fraction == 1
    assert job.create_time.seconds == job.end_time.seconds == 1_000_000
    assert job.expire_time.seconds == 1_000_000 + 86_400
    assert job == await get(house, job_id)
    images, end = await read(house.jobs.GetJobResult(job_pb2.GetJobResultRequest(job_id=job_id)))
    assert hashlib.sha256(images[0]).digest() == job.images["image"].sha256
    result = end.result
    assert (result.name, result.seed, result.width, result.height) == ("image", 5, 160, 128)
    assert (result.format, result.model, result.image_data) == (image_pb2.IMAGE_FORMAT_WEBP, "embedded", b"")
    named = job_pb2.GetJobResultRequest(job_id=job_id, name="hero-64.webp")
    small, end = await read(house.jobs.GetJobResult(named))
    assert (end.result.name, end.result.width, len(small[0])) == ("hero-64.webp", 64, job.images["hero-64.webp"].bytes)


async def test_reading_a_job_brings_its_images(house: Any) -> None:
    job_id = await submit(house)
    await house.ended(job_id)
    images, end = await read(house.jobs.ReadJob(job_pb2.ReadJobRequest(job_id=job_id)))
    assert len(images) == 2
    for image in end.job.images.values():
        assert hashlib.sha256(images[image.image_index]).digest() == image.sha256
        assert not image.image_data
    urls = job_pb2.ReadJobRequest(job_id=job_id, images=job_pb2.IMAGES_VIEW_URLS)
    images, end = await read(house.jobs.ReadJob(urls))
    assert images == {}
    assert end.job.images["image"].url == f"/jobs/{job_id}/images/image"


async def test_reading_a_job_that_goes_on_brings_no_bytes(house: Any) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def hold_the_second(rpc: str) -> None:
        if rpc == "ClipFocal" and house.processing.cropping == 1 and not arrived.is_set():
            arrived.set()
            await go.wait()

    house.processing.before = hold_the_second
    batch = orchestrator_pb2.SubmitBatchSizesRequest(prompt="a cat", sizes=["96x64", "90x60"])
    job_id = (await house.orchestrator.SubmitBatchSizes(batch)).job_id
    async for event in watch(house, job_id):
        if event.HasField("image_ready"):
            break
    images, end = await read(house.jobs.ReadJob(job_pb2.ReadJobRequest(job_id=job_id)))
    assert (images, end.job.status, len(end.job.images)) == ({}, PROCESSING, 1)
    go.set()
    await house.ended(job_id)
    images, end = await read(house.jobs.ReadJob(job_pb2.ReadJobRequest(job_id=job_id)))
    assert (len(images), end.job.status) == (2, COMPLETED)


async def test_a_request_id_gives_one_job(house: Any, refused: Any) -> None:
    first = await submit(house, request_id="order-1")
    assert await submit(house, request_id="order-1") == first
    other = orchestrator_pb2.GenerateRequest(prompt="a dog")
    request = orchestrator_pb2.SubmitGenerateRequest(generate=other, request_id="order-1")
    answer = await refused(house.orchestrator.SubmitGenerate(request))
    assert (answer.reason, answer.metadata) == ("REQUEST_ID_REUSED", {"request_id": "order-1"})
    batch = orchestrator_pb2.SubmitBatchSizesRequest(prompt="a cat", sizes=["og"], request_id="order-1")
    assert (await refused(house.orchestrator.SubmitBatchSizes(batch))).reason == "REQUEST_ID_REUSED"
    assert await submit(house) != await submit(house)


async def test_jobs_are_listed_in_pages_and_by_status(house: Any, refused: Any) -> None:
    ids = [await submit(house, prompt=f"cat {number}") for number in range(3)]
    for job_id in ids:
        await house.ended(job_id)
    house.diffusion.step = Gate(1)
    running = await submit(house, prompt="running")
    await house.diffusion.step.reached.wait()
    first = await house.jobs.ListJobs(job_pb2.ListJobsRequest(page_size=2))
    assert [job.prompt for job in first.jobs] == ["running", "cat 2"]
    second = await house.jobs.ListJobs(job_pb2.ListJobsRequest(page_size=2, page_token=first.next_page_token))
    assert [job.job_id for job in second.jobs] == ids[1::-1]
    assert not second.next_page_token
    completed = await house.jobs.ListJobs(job_pb2.ListJobsRequest(status=COMPLETED))
    assert running not in {job.job_id for job in completed.jobs}
    assert len(completed.jobs) == 3
    answer = await refused(house.jobs.ListJobs(job_pb2.ListJobsRequest(page_token="nonsense")))
    assert answer.reason == "INVALID_ARGUMENT"
    house.diffusion.step.open.set()


@pytest.mark.parametrize(
    ("rpc", "request_type"),
    [("GetJob", job_pb2.GetJobRequest), ("ReadJob", job_pb2.ReadJobRequest), ("WatchJob", job_pb2.WatchJobRequest),
     ("CancelJob", job_pb2.CancelJobRequest), ("GetJobResult", job_pb2.GetJobResultRequest)],
)  # fmt: skip
async def test_a_job_that_is_not_there(house: Any, refused: Any, rpc: str, request_type: Any) -> None:
    answer = await refused(getattr(house.jobs, rpc)(request_type(job_id="nobody")))
    assert (answer.reason, answer.metadata) == ("JOB_NOT_FOUND", {"job_id": "nobody"})
    assert (await refused(getattr(house.jobs, rpc)(request_type(job_id="../etc")))).reason == "INVALID_ARGUMENT"


async def test_what_a_result_can_not_be(house: Any, refused: Any) -> None:
    batch = orchestrator_pb2.SubmitBatchSizesRequest(prompt="a cat", sizes=["96x64", "90x60"])
    job_id = (await house.orchestrator.SubmitBatchSizes(batch)).job_id
    await house.ended(job_id)
    result = job_pb2.GetJobResultRequest
    answer = await refused(house.jobs.GetJobResult(result(job_id=job_id)))
    assert (answer.reason, [violation.field for violation in answer.violations]) == ("INVALID_ARGUMENT", ["name"])
    answer = await refused(house.jobs.GetJobResult(result(job_id=job_id, name="hero")))
    assert (answer.reason, answer.metadata) == ("NOT_FOUND", {"name": "hero", "known": "90x60, 96x64"})
    download = job_pb2.DownloadJobImageRequest(job_id=job_id, name="../../jobs.sqlite3")
    assert (await refused(house.jobs.DownloadJobImage(download))).reason == "NOT_FOUND"
    images, end = await read(house.jobs.GetJobResult(result(job_id=job_id, name="90x60")))
    assert (end.result.width, end.result.height, len(images)) == (90, 60, 1)
    answer = await refused(watch(house, job_id, after_event=10_000))
    assert [violation.field for violation in answer.violations] == ["after_event"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"model": "no-such"}, "MODEL_NOT_FOUND"), ({"family": "no-such"}, "NOT_FOUND"), ({"prompt": ""}, "INVALID_ARGUMENT"),
     ({"format": image_pb2.IMAGE_FORMAT_RAW_RGB8, "skip_processing": True}, "INVALID_ARGUMENT")],
)  # fmt: skip
async def test_what_can_not_be_made_makes_no_job(house: Any, refused: Any, fields: Any, reason: str) -> None:
    generate = orchestrator_pb2.GenerateRequest(**({"prompt": "a cat"} | fields))
    request = orchestrator_pb2.SubmitGenerateRequest(generate=generate)
    assert (await refused(house.orchestrator.SubmitGenerate(request))).reason == reason
    assert not (await house.jobs.ListJobs(job_pb2.ListJobsRequest())).jobs
