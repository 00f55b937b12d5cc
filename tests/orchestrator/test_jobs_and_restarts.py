"""Jobs whose servers end, by their own will or not, and the folder that they are kept in."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator.jobs.threaded import FolderRefused

from .jobs import COMPLETED, FAILED, Gate, get, read, submit, watch


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
