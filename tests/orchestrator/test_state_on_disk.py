"""What lies in the data directory is damaged, gone, or somebody else's: it is told by name at the start, and nothing is lost for it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imajin.job.v1 import job_pb2
from imajin_servers.orchestrator.jobs.schema import WrongTables
from imajin_servers.orchestrator.jobs.store import Submission
from imajin_servers.orchestrator.jobs.tables import JobTables
from imajin_servers.orchestrator.jobs.threaded import FolderRefused

HOUR = 3600.0
REFUSALS = (sqlite3.Error, WrongTables, OSError)


def tables(folder: Path, now: float = 1000.0) -> JobTables:
    return JobTables(folder, lambda: now, 100.0, 1000)


def filled(folder: Path, count: int = 40) -> dict[str, bytes]:
    """A store of `count` jobs that are over, each with an image: its bytes by job."""
    store = tables(folder)
    images = {}
    for number in range(count):
        job = store.create(Submission(job_pb2.JOB_KIND_GENERATE, b"request", f"prompt {number}" * 20))
        store.claim()
        images[job.job_id] = b"image %d" % number
        store.add_image(job.job_id, "image", job_pb2.JobImage(), images[job.job_id])
        store.finish(job.job_id, job_pb2.JOB_STATUS_COMPLETED)
    store.close()
    return images


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_database_cut_anywhere_is_refused_and_loses_no_image(tmp_path: Path) -> None:
    images = filled(tmp_path / "whole")
    whole = (tmp_path / "whole" / "jobs.sqlite3").read_bytes()
    lengths = {*range(0, len(whole), 1021), *range(0, len(whole), 4096), len(whole) - 1, 1, 17, 99, 100}
    for length in sorted(lengths):
        folder = tmp_path / "cut"
        shutil.copytree(tmp_path / "whole", folder)
        (folder / "jobs.sqlite3").write_bytes(whole[:length])
        with pytest.raises(REFUSALS):
            tables(folder)
        assert {path.read_bytes() for path in folder.glob("results/*/*")} == set(images.values()), length
        assert (folder / "jobs.sqlite3").read_bytes() == whole[:length]
        shutil.rmtree(folder)


@pytest.mark.parametrize("missing", [True, False])
def test_images_without_their_database_are_kept(tmp_path: Path, missing: bool) -> None:
    images = filled(tmp_path, 3)
    path = tmp_path / "jobs.sqlite3"
    path.unlink() if missing else path.write_bytes(b"")
    with pytest.raises(WrongTables, match="is missing or empty"):
        tables(tmp_path)
    assert {file.read_bytes() for file in tmp_path.glob("results/*/*")} == set(images.values())
    # Without them there is nothing to lose.
    shutil.rmtree(tmp_path / "results")
    tables(tmp_path).close()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "results" / "ab" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    (theirs.parent / ("c" * 64)).write_text("another's hash, in another's folder")
    tables(tmp_path).close()
    (theirs.parent / ("ab" + "c" * 62 + ".part")).write_text("what a crash left of an image")
    tables(tmp_path).close()
    assert sorted(files(tmp_path / "results")) == [f"ab/{'c' * 64}", "ab/thesis.txt"]


@pytest.mark.parametrize("taken", ["jobs.sqlite3", "results", "lock"])
async def test_what_stands_in_the_way_is_named(stopped_house: Any, taken: str) -> None:
    folder = stopped_house.folder
    folder.mkdir()
    if taken == "results":
        (folder / taken).write_text("")
    else:
        (folder / taken).mkdir()
    with pytest.raises(FolderRefused, match=str(folder)):
        async with stopped_house.running():
            pass


def test_a_process_says_it_in_one_line(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    path = tmp_path / "jobs.sqlite3"
    path.write_bytes(path.read_bytes()[:-4096])
    environment = {
        **os.environ,
        "IMAJIN_ORCHESTRATOR_DATA_DIR": str(tmp_path),
        "IMAJIN_ORCHESTRATOR_ADDRESS": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "imajin_servers.orchestrator"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"imajin orchestrator: {path} can't be used: ")
    assert line.endswith("set IMAJIN_ORCHESTRATOR_DATA_DIR")


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_clock_that_is_set_moves_the_end_of_a_job_by_as_much(tmp_path: Path, jump: float) -> None:
    now = 10_000.0
    store = JobTables(tmp_path, lambda: now, 2 * HOUR, 10)
    job = store.create(Submission(job_pb2.JOB_KIND_GENERATE, b"", "a cat"))
    store.claim()
    now += jump
    assert store.finish(job.job_id, job_pb2.JOB_STATUS_COMPLETED).end_time.ToSeconds() == now
    now -= jump
    assert store.sweep() == 0
    now += jump + 2 * HOUR - 1
    assert store.sweep() == 0
    now += 1
    assert store.sweep() == 1
    store.close()
