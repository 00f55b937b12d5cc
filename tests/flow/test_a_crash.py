"""The diffusion server is killed in the middle of a job under `imajin up`: the job fails typed, the server comes back, the next job works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from imajin_client import Client, Job, Progress
from imajin_client.errors import ImajinError

PROMPT = "a red apple"


@pytest.fixture
def supervised(tmp_path: Path, flow: Any) -> Iterator[tuple[Client, psutil.Process]]:
    """A client of a suite of its own under `imajin up`, and the supervisor's process."""
    environment, addresses = flow.suite_environment(tmp_path)
    log = tmp_path / "up.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "imajin_client", "up", "--only", "vram,diffusion,processing,orchestrator"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=tmp_path)
    try:
        servers = {name: address for name, address in addresses.items() if name not in ("gateway", "prompt")}
        for name, address in servers.items():
            flow.wait_until_serving(name, address, process, log)
        with Client(servers) as client:
            yield client, psutil.Process(process.pid)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        assert not [child for child in children if child.is_running()], "the supervisor left processes behind"
    finally:
        process.kill()


def diffusion_process(supervisor: psutil.Process) -> psutil.Process:
    """The process of the diffusion server."""
    found = [child for child in supervisor.children(recursive=True) if "imajin_servers.diffusion" in child.cmdline()]
    assert len(found) == 1
    return found[0]


def test_a_killed_server_fails_its_job_and_comes_back(supervised: tuple[Client, psutil.Process], flow: Any) -> None:
    client, supervisor = supervised
    job = client.submit_generate(PROMPT, steps=150)
    last: object = None
    for event in client.jobs.watch(job.job_id):
        last = event
        if isinstance(event, Progress) and event.phase == "denoising" and event.step == 2:
            os.kill(diffusion_process(supervisor).pid, signal.SIGKILL)
    assert isinstance(last, Job)
    assert last.status == "failed"
    assert isinstance(last.error, ImajinError)
    assert last.error.reason == "SERVER_UNAVAILABLE"
    assert last.error.details["server"] == "diffusion"

    flow.wait_until_serving("diffusion", client.addresses["diffusion"], None, Path("/nonexistent"))
    again = client.jobs.wait(client.submit_generate(PROMPT, steps=2, skip_processing=True).job_id)
    assert again.status == "completed"
