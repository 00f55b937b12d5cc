"""Watches of jobs: nothing is missed or told twice, and a job goes on without its watcher."""

from __future__ import annotations

import asyncio
from typing import Any

from imajin.orchestrator.v1 import orchestrator_pb2

from .jobs import COMPLETED, Gate, get, submit, watch


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
