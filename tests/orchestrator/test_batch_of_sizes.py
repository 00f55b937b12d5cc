"""One picture in many sizes, as a caller sees it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from PIL import Image

from imajin.common.v1 import finishing_pb2, image_pb2, model_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.runtime.errors import GpuOutOfMemory, ImageInvalid


def batch(sizes: list[str], **fields: Any) -> orchestrator_pb2.SubmitBatchSizesRequest:
    return orchestrator_pb2.SubmitBatchSizesRequest(prompt="a happy panda", sizes=sizes, **fields)


async def submitted(house: Any, sizes: list[str], **fields: Any) -> str:
    answer = await house.orchestrator.SubmitBatchSizes(batch(sizes, **fields))
    assert answer.status == job_pb2.JOB_STATUS_QUEUED
    return str(answer.job_id)


async def test_the_documented_batch_comes_from_two_bases_of_one_seed(house: Any) -> None:
    job_id = await submitted(house, ["hero", "og", "sidebar", "square"], seed=9, priority=80)
    job = await house.ended(job_id)
    assert job.status == job_pb2.JOB_STATUS_COMPLETED, job.error
    assert (job.bases_generated, job.seed, job.model, job.prompt) == (2, 9, "embedded", "a happy panda")
    assert [base.name for base in job.bases] == ["landscape", "portrait"]
    raw = image_pb2.IMAGE_FORMAT_RAW_RGB8
    drawn = {(r.width, r.height, r.seed, r.model, r.format, r.priority) for r in house.diffusion.requests}
    assert drawn == {(192, 128, 9, "embedded", raw, 80), (128, 192, 9, "embedded", raw, 80)}
    fields = [(r.noise_canvas.width, r.noise_canvas.height) for r in house.diffusion.requests]
    assert fields == [(192, 192)] * 2, "one field of noise that both fit into"
    expected = {"hero": (1920, 1080), "og": (1200, 630), "sidebar": (300, 600), "square": (1080, 1080)}
    assert {name: (image.width, image.height) for name, image in job.images.items()} == expected
    assert job.images["sidebar"].base == "portrait"
    assert job.images["hero"].base == "landscape"
    assert job.images["hero"].upscale == pytest.approx(10)
    assert job.images["hero"].focal_point.method == image_pb2.FOCAL_METHOD_FACE
    assert job.images["hero"].url == f"/jobs/{job_id}/images/hero"
    assert set(job.stage_ms) == {"analyze", "generate", "detect", "crop"}
    assert all(base.generating_ms > 0 and base.focal_point.x == 0.25 for base in job.bases)
    judged = [base.moderation for base in job.bases] + [image.moderation for image in job.images.values()]
    assert all((said.image_score, said.prompt_level) == (0.25, "strict") for said in judged)
    assert house.diffusion.metadata[0]["x-request-id"] == job_id
    body = b""
    async for part in house.jobs.DownloadJobImage(job_pb2.DownloadJobImageRequest(job_id=job_id, name="og")):
        assert part.content_type == ("" if body else "image/webp")
        body += part.data
    assert Image.open(io.BytesIO(body)).size == (1200, 630)
    assert len(body) == job.images["og"].bytes


async def test_stages_are_told_in_order_and_never_go_back(house: Any) -> None:
    job_id = await submitted(house, ["96x48", "48x96"])
    told, ready = [], []
    async for event in house.jobs.WatchJob(job_pb2.WatchJobRequest(job_id=job_id)):
        if event.HasField("progress"):
            told.append(event.progress)
        elif event.HasField("image_ready"):
            ready.append(event.image_ready.name)
            assert event.image_ready.image.bytes > 0
    phases = list(dict.fromkeys(progress.WhichOneof("phase") for progress in told))
    assert [phase for phase in phases if phase != "queued"] == [
        "analyzing_sizes",
        "denoising",
        "detecting_focal_point",
        "cropping",
    ]
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert {(progress.base, progress.bases) for progress in told if progress.HasField("denoising")} == {(1, 2), (2, 2)}
    assert (told[-1].cropping.done, told[-1].cropping.total, told[-1].fraction) == (2, 2, 1)
    assert sorted(ready) == ["48x96", "96x48"]


async def test_a_batch_without_a_seed_draws_all_bases_with_one(house: Any) -> None:
    job = await house.ended(await submitted(house, ["96x48", "48x96"]))
    assert {request.seed for request in house.diffusion.requests} == {job.seed}
    assert all(request.HasField("seed") for request in house.diffusion.requests)


async def test_wishes_reach_the_servers_that_fulfil_them(house: Any) -> None:
    job_id = await submitted(
        house, ["90x90"], style=model_pb2.MODEL_STYLE_ANIME, steps=2, guidance_scale=0, negative_prompt="blurry",
        format=image_pb2.IMAGE_FORMAT_PNG, text_overlay=finishing_pb2.TextOverlay(text="hi"),
        watermark=finishing_pb2.Watermark(text="mine"),
    )  # fmt: skip
    job = await house.ended(job_id)
    assert (job.model, job.images["90x90"].format) == ("drawn", image_pb2.IMAGE_FORMAT_PNG)
    (drawing,) = house.diffusion.requests
    assert (drawing.model, drawing.steps, drawing.guidance_scale, drawing.negative_prompt) == ("drawn", 2, 0, "blurry")
    assert drawing.HasField("guidance_scale")
    assert not drawing.HasField("text_overlay"), "the text goes on each size, not on the base"
    cut = house.processing.specs[-1]
    assert (cut.text_overlay.text, cut.watermark.text) == ("hi", "mine")
    assert (cut.focal_point.x, cut.focal_point.y) == (0.25, 0.5)


@pytest.mark.parametrize(("allowed", "begun"), [(4, {(192, 128), (128, 192)}), (1, {(192, 128)})])
async def test_bases_are_asked_for_together_within_the_bound(
    stopped_house: Any, allowed: int, begun: set[tuple[int, int]]
) -> None:
    arrived, go = asyncio.Queue[None](), asyncio.Event()

    async def step(number: int) -> None:
        if number == 1:
            arrived.put_nowait(None)
        await go.wait()

    stopped_house.diffusion.step = step
    async with stopped_house.running(concurrent_bases=allowed) as house:
        job_id = await submitted(house, ["96x48", "48x96"])
        for _ in begun:
            await arrived.get()
        assert {(request.width, request.height) for request in house.diffusion.requests} == begun
        go.set()
        job = await house.ended(job_id)
    assert [base.name for base in job.bases] == ["landscape", "portrait"], "in the plan's order, whoever was first"
    assert job.bases_generated == 2


async def test_progress_is_that_of_all_bases(stopped_house: Any) -> None:
    """One base waits before its first step until the other has made its last: the whole is half way then."""
    go, first = asyncio.Event(), list[Any]()

    async def step(number: int) -> None:
        first.append(asyncio.current_task())
        if first[0] is not first[-1]:
            await go.wait()

    stopped_house.diffusion.step = step
    async with stopped_house.running() as house:
        job_id = await submitted(house, ["96x48", "48x96"])
        fractions = []
        async for event in house.jobs.WatchJob(job_pb2.WatchJobRequest(job_id=job_id)):
            if event.HasField("progress"):
                fractions.append(event.progress.fraction)
                if event.progress.denoising.step == 4 and not go.is_set():
                    assert event.progress.fraction == pytest.approx(0.99 * 0.8 / 2)
                    go.set()
    assert fractions == sorted(fractions)


async def test_a_base_that_fails_ends_the_others(stopped_house: Any) -> None:
    together = asyncio.Barrier(2)

    async def step(number: int) -> None:
        if number == 1:
            await together.wait()
            if stopped_house.diffusion.steps_made == 0 and not stopped_house.diffusion.failed:
                stopped_house.diffusion.failed = True
                raise GpuOutOfMemory.of(8 * 2**30, 4 * 2**30)
        await asyncio.Event().wait()

    stopped_house.diffusion.step = step
    stopped_house.diffusion.failed = False
    async with stopped_house.running() as house:
        job = await house.ended(await submitted(house, ["96x48", "48x96"]))
        assert (job.status, job.error.code) == (job_pb2.JOB_STATUS_FAILED, "GPU_OOM")
        await house.diffusion.cancelled.wait()


async def test_cancelling_ends_every_base(stopped_house: Any) -> None:
    begun, ended = asyncio.Barrier(3), asyncio.Semaphore(0)

    async def step(number: int) -> None:
        await begun.wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.release()

    stopped_house.diffusion.step = step
    async with stopped_house.running() as house:
        job_id = await submitted(house, ["96x48", "48x96"])
        await begun.wait()
        await house.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job_id))
        for _ in range(2):
            await ended.acquire()
        assert (await house.ended(job_id)).status == job_pb2.JOB_STATUS_CANCELLED


async def test_crops_are_made_some_at_a_time(stopped_house: Any) -> None:
    arrived, go = asyncio.Queue[None](), asyncio.Event()

    async def wait(rpc: str) -> None:
        if rpc == "ClipFocal":
            arrived.put_nowait(None)
            await go.wait()

    stopped_house.processing.before = wait
    async with stopped_house.running(concurrent_crops=2) as house:
        job_id = await submitted(house, [f"{edge}x64" for edge in range(80, 90)])
        await arrived.get()
        await arrived.get()
        go.set()
        job = await house.ended(job_id)
        assert len(job.images) == 10
    assert stopped_house.processing.cropping_at_most == 2


async def test_a_crop_that_fails_fails_the_job_and_keeps_what_was_ready(stopped_house: Any, refused: Any) -> None:
    cuts = 0

    async def second_fails(rpc: str) -> None:
        nonlocal cuts
        cuts += rpc == "ClipFocal"
        if cuts == 2:
            raise ImageInvalid("the crop went wrong")

    stopped_house.processing.before = second_fails
    async with stopped_house.running(concurrent_crops=1) as house:
        job_id = await submitted(house, ["96x64", "90x60", "81x54"])
        job = await house.ended(job_id)
        assert (job.status, job.error.code) == (job_pb2.JOB_STATUS_FAILED, "IMAGE_INVALID")
        assert list(job.images) == ["96x64"]
        download = job_pb2.DownloadJobImageRequest
        assert [part async for part in house.jobs.DownloadJobImage(download(job_id=job_id, name="96x64"))]
        answer = await refused(house.jobs.DownloadJobImage(download(job_id=job_id, name="90x60")))
        assert (answer.reason, answer.message) == ("IMAGE_INVALID", "the crop went wrong")


async def test_out_of_memory_is_the_jobs_error(house: Any, refused: Any) -> None:
    house.diffusion.error = GpuOutOfMemory.of(8 * 2**30, 4 * 2**30)
    job_id = await submitted(house, ["og"])
    job = await house.ended(job_id)
    assert (job.error.error, job.error.code) == ("GPU out of memory", "GPU_OOM")
    assert (job.error.details["requested"], job.error.details["available"]) == ("8GB", "4GB")
    answer = await refused(house.jobs.GetJobResult(job_pb2.GetJobResultRequest(job_id=job_id)))
    assert (answer.reason, answer.metadata["available"]) == ("GPU_OOM", "4GB")


@pytest.mark.parametrize(
    ("sizes", "fields", "reason"),
    [
        ([], {}, "INVALID_ARGUMENT"),
        (["og", "og"], {}, "INVALID_ARGUMENT"),
        (["0x10"], {}, "INVALID_ARGUMENT"),
        (["100000x10"], {}, "INVALID_ARGUMENT"),
        (["800x100"], {}, "INVALID_ARGUMENT"),
        (["5000x5000"], {}, "INVALID_ARGUMENT"),
        (["billboard"], {}, "NOT_FOUND"),
        (["og"], {"model": "no-such"}, "MODEL_NOT_FOUND"),
        (["og"], {"format": image_pb2.IMAGE_FORMAT_RAW_RGB8}, "INVALID_ARGUMENT"),
        (["og"], {"priority": 101}, "INVALID_ARGUMENT"),
    ],
)
async def test_what_can_not_be_made_makes_no_job(
    house: Any, refused: Any, sizes: list[str], fields: dict[str, Any], reason: str
) -> None:
    assert (await refused(house.orchestrator.SubmitBatchSizes(batch(sizes, **fields)))).reason == reason
    assert not (await house.jobs.ListJobs(job_pb2.ListJobsRequest())).jobs


async def test_a_plan_draws_nothing(house: Any) -> None:
    request = orchestrator_pb2.PlanBatchSizesRequest(sizes=["square", "sidebar", "hero", "og"])
    answer = await house.orchestrator.PlanBatchSizes(request)
    assert [(base.name, base.width, base.height) for base in answer.bases] == [
        ("landscape", 192, 128),
        ("portrait", 128, 192),
    ]
    assert [crop.name for crop in answer.crops] == ["square", "sidebar", "hero", "og"]
    hero = answer.crops[2]
    assert (hero.base, hero.width, hero.height) == ("landscape", 1920, 1080)
    assert (hero.upscale, hero.kept) == (pytest.approx(10), pytest.approx(0.84375))
    assert house.diffusion.requests == []


async def test_a_plan_is_of_the_model_of_its_style(house: Any) -> None:
    request = orchestrator_pb2.PlanBatchSizesRequest(sizes=["90x90"], style=model_pb2.MODEL_STYLE_ANIME)
    answer = await house.orchestrator.PlanBatchSizes(request)
    assert [(base.width, base.height) for base in answer.bases] == [(96, 96)]


async def test_sizes_of_the_settings_join_the_built_in_ones(stopped_house: Any) -> None:
    async with stopped_house.running(sizes={"hero": "800x400", "leaf": "100x200"}) as house:
        sizes = (await house.orchestrator.ListSizes(orchestrator_pb2.ListSizesRequest())).sizes
    assert (sizes["hero"].width, sizes["hero"].height) == (800, 400)
    assert (sizes["leaf"].width, sizes["leaf"].height) == (100, 200)
    assert (sizes["og"].width, sizes["og"].height) == (1200, 630)
