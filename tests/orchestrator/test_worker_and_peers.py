"""What only shows at a certain moment: calls that are left, jobs that are cancelled as they start, odd peers."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin.common.v1 import progress_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_servers.orchestrator.flows.course import Course
from imajin_servers.orchestrator.flows.run import Run
from imajin_servers.orchestrator.flows.worker import Worker
from imajin_servers.orchestrator.jobs.store import Submission, Work
from imajin_servers.orchestrator.jobs.threaded import SqliteJobStore
from imajin_servers.orchestrator.jobs.watching import Watchers, Watching
from imajin_servers.orchestrator.peers.diffusion import Diffusion
from imajin_servers.runtime.errors import StorageFull


@given(st.lists(st.tuples(st.floats(allow_nan=False), st.integers(0, 9))))
def test_a_course_never_goes_back(told: list[tuple[float, int]]) -> None:
    course = Course()
    fractions = [
        course.part(progress_pb2.Progress(fraction=fraction), part / 10, (part + 1) / 10).fraction
        for fraction, part in told
    ]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


def test_a_fraction_has_few_digits() -> None:
    told = Course().part(progress_pb2.Progress(fraction=0.12), 0.0, 0.9)
    assert str(told).strip() == "fraction: 0.108"


async def test_a_call_that_is_left_is_cancelled(stopped_house: Any) -> None:
    async def wait(number: int) -> None:
        if number == 2:
            await asyncio.Event().wait()

    stopped_house.diffusion.step = wait
    async with grpc.aio.insecure_channel(stopped_house.addresses["diffusion"]) as channel:
        events = Diffusion(channel, 2**20).generate(diffusion_pb2.GenerateRequest(prompt="a cat"))
        await anext(events)
        await events.aclose()
        await stopped_house.diffusion.cancelled.wait()


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
async def test_a_server_that_drops_its_calls_was_not_reached(house: Any, refused: Any, code: grpc.StatusCode) -> None:
    house.diffusion.ends_with = code
    answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert (answer.reason, answer.metadata) == ("SERVER_UNAVAILABLE", {"server": "diffusion"})


async def test_what_a_server_fails_with_inside_stays_there(house: Any, refused: Any) -> None:
    house.diffusion.ends_with = grpc.StatusCode.DATA_LOSS
    answer = await refused(house.orchestrator.Generate(orchestrator_pb2.GenerateRequest(prompt="a cat")))
    assert answer.reason == "INTERNAL"
    assert "word" not in answer.message


@pytest.fixture
def watchers() -> Watchers:
    return Watchers()


@pytest.fixture
async def store(tmp_path: Path, clock: Any, watchers: Watchers) -> AsyncIterator[SqliteJobStore]:
    async with SqliteJobStore.open(tmp_path, clock, 100, 10, watchers.changed) as opened:
        yield opened


async def ended(store: SqliteJobStore, watchers: Watchers, clock: Any, job_id: str) -> job_pb2.Job:
    watching = Watching(store, watchers, clock, 15, asyncio.Event())
    events = [event async for event in watching.watch(job_id, 0, previews=False)]
    return events[-1].job


async def test_a_job_that_is_cancelled_as_it_is_taken_does_not_run(
    store: SqliteJobStore, watchers: Watchers, clock: Any
) -> None:
    ran = asyncio.Event()

    async def flow(work: Work, run: Run) -> None:
        ran.set()

    worker = Worker(store, watchers, flow, clock, 1)
    claim = store.claim

    async def taken_and_cancelled() -> Work | None:
        work = await claim()
        if work:
            assert (await worker.cancel(work.job.job_id)).status == job_pb2.JOB_STATUS_PROCESSING
        return work

    store.claim = taken_and_cancelled  # type: ignore[method-assign]
    job_id = (await worker.submit(Submission(job_pb2.JOB_KIND_GENERATE, b"", "a cat"))).job_id
    running = asyncio.create_task(worker.run())
    assert (await ended(store, watchers, clock, job_id)).status == job_pb2.JOB_STATUS_CANCELLED
    assert not ran.is_set()
    await worker.drain(0)
    await running


async def test_a_store_that_fails_does_not_end_the_worker(
    store: SqliteJobStore, watchers: Watchers, clock: Any
) -> None:
    done = asyncio.Event()

    async def flow(work: Work, run: Run) -> None:
        done.set()

    worker = Worker(store, watchers, flow, clock, 1)
    claim = store.claim

    async def disk_full() -> Work | None:
        raise OSError("no space left on device")

    store.claim = disk_full  # type: ignore[method-assign]
    await worker.submit(Submission(job_pb2.JOB_KIND_GENERATE, b"", "a cat"))
    running = asyncio.create_task(worker.run())
    await clock.until_asleep(1)
    store.claim = claim  # type: ignore[method-assign]
    clock.advance(1)
    await done.wait()
    await worker.drain(1)
    await running


async def test_a_job_on_a_full_disk_ends_once_there_is_room(
    store: SqliteJobStore, watchers: Watchers, clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    async def flow(work: Work, run: Run) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            await run.image("image", job_pb2.JobImage(), b"an image")

    async def no_room(*_: Any) -> job_pb2.Job:
        raise StorageFull("no room")

    worker = Worker(store, watchers, flow, clock, 1)
    finish = store.finish
    store.finish = no_room  # type: ignore[method-assign]
    job_id = (await worker.submit(Submission(job_pb2.JOB_KIND_GENERATE, b"", "a cat"))).job_id
    running = asyncio.create_task(worker.run())
    await clock.until_asleep(1)
    assert (await store.get(job_id)).status == job_pb2.JOB_STATUS_PROCESSING
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()], "a piece takes room"
    store.finish = finish  # type: ignore[method-assign]
    clock.advance(1)
    job = await ended(store, watchers, clock, job_id)
    assert (job.status, job.error.code) == (job_pb2.JOB_STATUS_FAILED, "STORAGE_FULL")
    await worker.drain(1)
    await running


async def test_a_full_database_says_so_and_goes_on_when_there_is_room(store: SqliteJobStore) -> None:
    def pages(most: int) -> None:
        store.tables.db.execute(f"PRAGMA max_page_count = {most}")

    long = Submission(job_pb2.JOB_KIND_GENERATE, b"x" * 100_000, "a cat")
    await store.run(lambda: pages(1))
    with pytest.raises(StorageFull):
        await store.create(long)
    await store.run(lambda: pages(1000))
    assert (await store.create(long)).status == job_pb2.JOB_STATUS_QUEUED


async def test_a_flow_that_breaks_fails_its_job_with_an_opaque_error(
    store: SqliteJobStore, watchers: Watchers, clock: Any
) -> None:
    async def flow(work: Work, run: Run) -> None:
        raise ZeroDivisionError("a secret")

    worker = Worker(store, watchers, flow, clock, 1)
    job_id = (await worker.submit(Submission(job_pb2.JOB_KIND_GENERATE, b"", "a cat"))).job_id
    running = asyncio.create_task(worker.run())
    error = (await ended(store, watchers, clock, job_id)).error
    assert error.code == "INTERNAL"
    assert error.details["error_id"] in error.error
    assert "secret" not in str(error)
    await worker.drain(1)
    await running
