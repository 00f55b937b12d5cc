"""Jobs in line: cancelled, put forward, refused, or kept waiting."""

from __future__ import annotations

from typing import Any

from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.runtime.errors import QueueFull

from .jobs import CANCELLED, COMPLETED, PROCESSING, Gate, cancel, get, submit


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


async def test_a_job_waits_where_a_caller_is_told_to_come_again(house: Any, refused: Any, clock: Any) -> None:
    house.diffusion.error = QueueFull("too many", retry_after=7)
    answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert (answer.reason, answer.retry_after) == ("QUEUE_FULL", 7)
    job_id = await submit(house)
    await clock.until_asleep(7)
    house.diffusion.error = None
    clock.advance(7)
    assert (await house.ended(job_id)).status == COMPLETED
