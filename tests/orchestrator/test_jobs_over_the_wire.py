"""Jobs, as those see them who submit, watch, read and cancel them."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.orchestrator.jobs.threaded import FolderRefused
from imajin_servers.runtime.errors import QueueFull
from imajin_servers.runtime.images import Assembly

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = (
    job_pb2.JOB_STATUS_QUEUED,
    job_pb2.JOB_STATUS_PROCESSING,
    job_pb2.JOB_STATUS_COMPLETED,
    job_pb2.JOB_STATUS_FAILED,
    job_pb2.JOB_STATUS_CANCELLED,
)


class Gate:
    """Holds the diffusion double at a step, and says when it is there."""

    def __init__(self, step: int = 2) -> None:
        self.step = step
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, number: int) -> None:
        if number == self.step:
            self.reached.set()
            await self.open.wait()


async def submit(house: Any, request_id: str = "", **fields: Any) -> str:
    generate = orchestrator_pb2.GenerateRequest(**({"prompt": "a cat"} | fields))
    request = orchestrator_pb2.SubmitGenerateRequest(generate=generate, request_id=request_id)
    return str((await house.orchestrator.SubmitGenerate(request)).job_id)


async def get(house: Any, job_id: str) -> job_pb2.Job:
    return (await house.jobs.GetJob(job_pb2.GetJobRequest(job_id=job_id))).job


async def cancel(house: Any, job_id: str) -> job_pb2.Job:
    return (await house.jobs.CancelJob(job_pb2.CancelJobRequest(job_id=job_id))).job


def watch(house: Any, job_id: str, **fields: Any) -> Any:
    return house.jobs.WatchJob(job_pb2.WatchJobRequest(job_id=job_id, **fields))


async def read(call: Any) -> tuple[dict[int, bytes], Any]:
    """The images of a stream by index, and what ended it."""
    images: dict[int, Assembly] = {}
    last = None
    async for response in call:
        assert last is None
        if response.HasField("chunk"):
            images.setdefault(response.chunk.image_index, Assembly(2**26)).add(response.chunk)
        else:
            last = response
    return {index: image.result().data for index, image in images.items()}, last


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


async def test_watching_on_misses_and_repeats_nothing(house: Any) -> None:
    gate = house.diffusion.step = Gate(3)
    job_id = await submit(house, preview_interval=1)
    seen = []
    call = watch(house, job_id)
    async for event in call:
        seen.append(event)
        if event.progress.denoising.step == 2:
            break
    call.cancel()
    gate.open.set()
    seen += [event async for event in watch(house, job_id, after_event=seen[-1].sequence)]
    numbers = [event.sequence for event in seen]
    assert numbers == sorted(set(numbers))
    assert seen[-1].job.status == COMPLETED
    assert seen[-1].job.last_event == numbers[-1]
    ready = {event.image_ready.name for event in seen if event.HasField("image_ready")}
    assert ready == {"image", "hero-64.webp"}
    assert [event async for event in watch(house, job_id, after_event=numbers[-1])] == []
    replayed = [event async for event in watch(house, job_id)]
    assert not any(event.HasField("preview") for event in replayed)
    assert replayed[-1].job == seen[-1].job


async def test_previews_go_to_those_who_want_them(house: Any) -> None:
    gate = house.diffusion.step = Gate(2)
    job_id = await submit(house, preview_interval=1, steps=3)
    watching, plain = aiter(watch(house, job_id)), aiter(watch(house, job_id, skip_previews=True))
    await anext(watching)
    await anext(plain)
    await gate.reached.wait()
    gate.open.set()
    previews = [event.preview async for event in watching if event.HasField("preview")]
    assert previews
    assert all(preview.image_data == b"\xff\xd8 preview" for preview in previews)
    assert not [event async for event in plain if event.HasField("preview")]


async def test_an_idle_watch_beats(house: Any, clock: Any) -> None:
    gate = house.diffusion.step = Gate(2)
    job_id = await submit(house)
    await gate.reached.wait()
    reached = (await get(house, job_id)).last_event
    call = aiter(watch(house, job_id, after_event=reached))
    for _ in range(3):
        beat = asyncio.ensure_future(anext(call))
        # The watch asks the clock once it has nothing to say; only then there is something to wind.
        await clock.until_asleep(15)
        clock.advance(15)
        event = await beat
        assert event.HasField("heartbeat")
        assert event.sequence == reached
    gate.open.set()
    assert [event async for event in call][-1].job.status == COMPLETED


async def test_a_watch_ends_when_the_server_drains(house: Any, refused: Any) -> None:
    gate = house.diffusion.step = Gate(2)
    job_id = await submit(house)
    call = aiter(watch(house, job_id))
    await anext(call)
    await gate.reached.wait()
    house.lifetime.draining.set()
    assert (await refused(call)).reason == "DRAINING"
    answer = await refused(
        house.orchestrator.SubmitGenerate(
            orchestrator_pb2.SubmitGenerateRequest(generate=orchestrator_pb2.GenerateRequest(prompt="late"))
        )
    )
    assert answer.reason == "DRAINING"
    gate.open.set()


async def test_a_job_goes_on_without_its_watcher(house: Any) -> None:
    gate = house.diffusion.step = Gate(2)
    job_id = await submit(house)
    call = watch(house, job_id)
    await call.read()
    await gate.reached.wait()
    call.cancel()
    gate.open.set()
    assert (await house.ended(job_id)).status == COMPLETED


async def test_cancelling_a_running_job_ends_the_drawing(house: Any, refused: Any) -> None:
    gate = house.diffusion.step = Gate(3)
    job_id = await submit(house)
    await gate.reached.wait()
    assert (await cancel(house, job_id)).status in (PROCESSING, CANCELLED)
    job = await house.ended(job_id)
    assert (job.status, job.HasField("error")) == (CANCELLED, False)
    await house.diffusion.cancelled.wait()
    assert house.diffusion.steps_made == 2
    assert (await cancel(house, job_id)).status == CANCELLED
    for call in (
        house.jobs.GetJobResult(job_pb2.GetJobResultRequest(job_id=job_id)),
        house.jobs.DownloadJobImage(job_pb2.DownloadJobImageRequest(job_id=job_id, name="image")),
    ):
        assert (await refused(call)).reason == "JOB_CANCELLED"
    house.diffusion.step = None
    assert (await house.ended(await submit(house))).status == COMPLETED


async def test_cancelling_a_queued_job_is_done_at_once(stopped_house: Any, refused: Any) -> None:
    gate = stopped_house.diffusion.step = Gate(1)
    async with stopped_house.running(concurrent_jobs=1) as house:
        first = await submit(house, prompt="first")
        await gate.reached.wait()
        second, third = await submit(house, prompt="second"), await submit(house, prompt="third")
        assert (await get(house, third)).progress.queued.position == 2
        answer = await refused(house.jobs.GetJobResult(job_pb2.GetJobResultRequest(job_id=second)))
        assert (answer.reason, answer.metadata["status"]) == ("JOB_NOT_FINISHED", "queued")
        assert (await cancel(house, second)).status == CANCELLED
        assert (await get(house, third)).progress.queued.position == 1
        gate.open.set()
        assert (await house.ended(third)).status == COMPLETED
        assert (await house.ended(first)).status == COMPLETED
    assert [request.prompt for request in stopped_house.diffusion.requests] == ["first", "third"]


async def test_the_more_urgent_job_goes_first(stopped_house: Any) -> None:
    gate = stopped_house.diffusion.step = Gate(1)
    async with stopped_house.running(concurrent_jobs=1) as house:
        await submit(house, prompt="running")
        await gate.reached.wait()
        wishes = (("low", 10), ("usual", None), ("high", 90))
        ids = [
            await submit(house, prompt=prompt, **({} if priority is None else {"priority": priority}))
            for prompt, priority in wishes
        ]
        gate.open.set()
        for job_id in ids:
            await house.ended(job_id)
    assert [request.prompt for request in stopped_house.diffusion.requests] == ["running", "high", "usual", "low"]


async def test_a_full_line_says_when_to_come_again(stopped_house: Any, refused: Any) -> None:
    gate = stopped_house.diffusion.step = Gate(1)
    async with stopped_house.running(concurrent_jobs=1, max_queued=1) as house:
        await submit(house)
        await gate.reached.wait()
        waiting = await submit(house, request_id="mine")
        request = orchestrator_pb2.SubmitGenerateRequest(generate=orchestrator_pb2.GenerateRequest(prompt="a cat"))
        answer = await refused(house.orchestrator.SubmitGenerate(request))
        assert (answer.reason, answer.retry_after) == ("QUEUE_FULL", 5)
        assert await submit(house, request_id="mine") == waiting, "asking again for a job that exists needs no room"
        gate.open.set()
        assert (await house.ended(waiting)).status == COMPLETED


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


async def test_a_server_that_dies_fails_its_job_and_not_the_next(house: Any) -> None:
    gate = house.diffusion.step = Gate(2)
    job_id = await submit(house)
    await gate.reached.wait()
    await house.stop_peer("diffusion")
    job = await house.ended(job_id)
    assert (job.status, job.error.code) == (FAILED, "SERVER_UNAVAILABLE")
    assert job.error.details == {"server": "diffusion"}
    house.diffusion.step = None
    again = await submit(house)
    async for event in watch(house, again):
        if event.HasField("progress"):
            break
    await house.start_peer("diffusion")
    assert (await house.ended(again)).status == COMPLETED


async def test_a_server_that_stays_away_fails_the_job(stopped_house: Any) -> None:
    async with stopped_house.running(wait_for_servers_seconds=0.05) as house:
        await house.stop_peer("processing")
        job = await house.ended(await submit(house))
    assert (job.status, job.error.code, job.error.details["server"]) == (FAILED, "SERVER_UNAVAILABLE", "processing")


async def test_restarting_fails_what_ran_and_goes_on_with_what_waited(stopped_house: Any) -> None:
    gate = stopped_house.diffusion.step = Gate(1)
    async with stopped_house.running(concurrent_jobs=1) as house:
        ran = await submit(house, prompt="ran")
        await gate.reached.wait()
        waited = await submit(house, prompt="waited")
    gate.open.set()
    async with stopped_house.running() as house:
        job = await house.ended(ran)
        assert (job.status, job.error.code) == (FAILED, "SERVER_UNAVAILABLE")
        assert job.error.details == {"server": "orchestrator"}
        assert (await house.ended(waited)).status == COMPLETED


async def test_a_crash_fails_what_ran_at_the_next_start(stopped_house: Any, tmp_path: Path) -> None:
    gate = stopped_house.diffusion.step = Gate(2)
    async with stopped_house.running(concurrent_jobs=1) as house:
        ran = await submit(house)
        await gate.reached.wait()
        waited = await submit(house)
        # The files as they lie at this moment: all that a crash would leave.
        await asyncio.to_thread(shutil.copytree, house.folder, tmp_path / "crashed")
    gate.open.set()
    stopped_house.folder = tmp_path / "crashed"
    async with stopped_house.running() as house:
        job = await get(house, ran)
        assert (job.status, job.error.code, job.error.details["server"]) == (
            FAILED,
            "SERVER_UNAVAILABLE",
            "orchestrator",
        )
        assert (await house.ended(waited)).status == COMPLETED


async def test_jobs_and_images_outlive_the_server_and_then_expire(stopped_house: Any, clock: Any) -> None:
    async with stopped_house.running() as house:
        job = await house.ended(await submit(house))
    files = [path for path in stopped_house.folder.glob("results/*/*") if path.is_file()]
    assert len(files) == 2
    async with stopped_house.running() as house:
        assert await get(house, job.job_id) == job
        images, _ = await read(house.jobs.GetJobResult(job_pb2.GetJobResultRequest(job_id=job.job_id)))
        assert hashlib.sha256(images[0]).digest() == job.images["image"].sha256
        clock.advance(86_401)
        await clock.until_asleep(60)
        assert not (await house.jobs.ListJobs(job_pb2.ListJobsRequest())).jobs
    assert not any(path.exists() for path in files)


async def test_two_orchestrators_do_not_share_a_directory(house: Any) -> None:
    with pytest.raises(FolderRefused, match="in use by another orchestrator"):
        async with house.running():
            pass


async def test_a_file_that_is_no_database_is_refused_and_kept(stopped_house: Any) -> None:
    stopped_house.folder.mkdir()
    (stopped_house.folder / "jobs.sqlite3").write_text("somebody's notes, which are long enough to be a header" * 40)
    with pytest.raises(FolderRefused, match="not a database"):
        async with stopped_house.running():
            pass
    assert "notes" in (stopped_house.folder / "jobs.sqlite3").read_text()


async def test_a_job_waits_where_a_caller_is_told_to_come_again(house: Any, refused: Any, clock: Any) -> None:
    house.diffusion.error = QueueFull("too many", retry_after=7)
    answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert (answer.reason, answer.retry_after) == ("QUEUE_FULL", 7)
    job_id = await submit(house)
    await clock.until_asleep(7)
    house.diffusion.error = None
    clock.advance(7)
    assert (await house.ended(job_id)).status == COMPLETED


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
