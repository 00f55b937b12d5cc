"""Servers are killed in the middle of calls and jobs under `imajin up`: what they did ends typed or goes on, they come back, the next works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest
from PIL import Image

from imajin_client import Client, Job, Progress
from imajin_client.errors import ImajinError, Unavailable

T = TypeVar("T")
PROMPT = "a red apple"
SERVERS = ("vram", "prompt", "diffusion", "processing", "orchestrator")


@dataclass
class Supervised:
    """A suite of its own under `imajin up`."""

    client: Client
    supervisor: psutil.Process
    addresses: dict[str, str]
    serve: Callable[..., None]

    def process(self, name: str) -> psutil.Process:
        """The process of a server, or of the gateway."""
        module = "imajin_gateway" if name == "gateway" else f"imajin_servers.{name}"
        [found] = [child for child in self.supervisor.children(recursive=True) if module in child.cmdline()]
        return found

    def kill(self, name: str) -> None:
        """Kills it."""
        process = self.process(name)
        process.kill()
        process.wait(60)

    def back(self, name: str) -> None:
        """Returns when it serves again."""
        self.serve(name, self.addresses[name], None, Path("/nonexistent"))


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory, flow: Any) -> Iterator[Supervised]:
    folder = tmp_path_factory.mktemp("crashes")
    environment, addresses = flow.suite_environment(folder)
    # The same bytes each time: manifests carry the time, and marks a number.
    environment |= {"IMAJIN_CREDENTIALS_MANIFESTS": "false", "IMAJIN_CREDENTIALS_MARKS": "false"}
    log = folder / "up.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "imajin_client", "up"]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=folder)
    try:
        for name, address in addresses.items():
            flow.wait_until_serving(name, address, process, log)
        with Client({name: addresses[name] for name in SERVERS}) as client:
            yield Supervised(client, psutil.Process(process.pid), addresses, flow.wait_until_serving)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        assert not [child for child in children if child.is_running()], "the supervisor left processes behind"
    finally:
        process.kill()


def denoises(event: object) -> bool:
    """Whether a job is past its first step."""
    return isinstance(event, Progress) and event.phase == "denoising" and (event.step or 0) >= 1


def call_of(name: str, client: Client) -> object:
    """A call that needs the server `name`."""
    match name:
        case "vram":
            return client.vram.leases()
        case "prompt":
            return client.describe(PROMPT, count=1)
        case "processing":
            return client.process(Image.new("RGB", (64, 64)), operations=["optimize"])
        case _:
            return client.generate(PROMPT, steps=2)


def again(call: Callable[[], T]) -> T:
    """What `call` gives; a connection that was refused pauses for up to 2 s before it is tried again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("name", ["vram", "prompt", "processing", "orchestrator"])
def test_a_call_hears_that_its_server_is_gone(supervised: Supervised, name: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        # It stands still, so that the call can't be over before.
        supervised.process(name).suspend()
        call = thread.submit(call_of, name, supervised.client)
        supervised.kill(name)
        error = call.exception(60)
    assert isinstance(error, ImajinError)
    assert (error.reason, error.details["server"]) == ("SERVER_UNAVAILABLE", name)
    supervised.back(name)
    assert again(lambda: call_of(name, supervised.client)) is not None


def test_a_job_whose_drawing_server_is_killed_fails_and_so_does_a_call(supervised: Supervised) -> None:
    client = supervised.client
    job = client.submit_generate(PROMPT, steps=150)
    last: object = None
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(client.generate, PROMPT, steps=150)
        killed = False
        for event in client.jobs.watch(job.job_id):
            last = event
            if denoises(event) and not killed:
                killed = True
                supervised.kill("diffusion")
        refused = call.exception(60)
    assert isinstance(last, Job)
    assert last.status == "failed"
    for error in (last.error, refused):
        assert isinstance(error, ImajinError)
        assert (error.reason, error.details["server"]) == ("SERVER_UNAVAILABLE", "diffusion")
    supervised.back("diffusion")
    job = again(lambda: client.submit_generate(PROMPT, steps=2, skip_processing=True))
    assert client.jobs.wait(job.job_id).status == "completed"


def test_jobs_do_not_notice_that_the_vram_server_was_killed(supervised: Supervised) -> None:
    client = supervised.client

    def submit() -> list[str]:
        return [
            client.submit_generate(PROMPT, steps=12, seed=seed, width=64, height=64, skip_processing=True).job_id
            for seed in range(6)
        ]

    def images(jobs: list[str]) -> list[bytes]:
        return [client.jobs.result(client.jobs.wait(job, timeout=90).job_id).data for job in jobs]

    undisturbed = images(submit())
    jobs = submit()
    for event in client.jobs.watch(jobs[0]):
        if denoises(event):
            supervised.kill("vram")
            break
    assert images(jobs) == undisturbed
    supervised.back("vram")


def test_what_ran_in_a_killed_orchestrator_fails_and_what_waited_goes_on(supervised: Supervised) -> None:
    client = supervised.client
    running = [client.submit_generate(PROMPT, steps=150).job_id for _ in range(2)]
    waiting = client.submit_generate(PROMPT, steps=2, skip_processing=True).job_id
    for event in client.jobs.watch(running[0]):
        if denoises(event):
            break
    supervised.kill("orchestrator")
    supervised.back("orchestrator")
    for job in running:
        with pytest.raises(ImajinError) as caught:
            client.jobs.wait(job, timeout=60)
        assert (caught.value.reason, caught.value.details["server"]) == ("SERVER_UNAVAILABLE", "orchestrator")
    assert client.jobs.wait(waiting, timeout=60).status == "completed"


def test_a_job_goes_on_without_the_gateway(supervised: Supervised) -> None:
    address = f"http://{supervised.addresses['gateway']}"
    job = supervised.client.submit_generate(PROMPT, steps=20, width=64, height=64, skip_processing=True).job_id
    with (
        pytest.raises(httpx.TransportError),
        httpx.stream("GET", f"{address}/jobs/{job}/events", timeout=60) as events,
    ):
        for number, _ in enumerate(events.iter_lines()):
            if number == 0:
                supervised.kill("gateway")
    supervised.back("gateway")
    assert supervised.client.jobs.wait(job, timeout=60).status == "completed"
    assert httpx.get(f"{address}/jobs/{job}", timeout=60).json()["status"] == "completed"
