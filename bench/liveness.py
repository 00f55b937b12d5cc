"""How long servers at work leave a health check unanswered: what `imajin up` may take for hung has to be far longer.

The suite runs under `imajin up` and is given its heaviest work (models that load for the first time, a large one among them, many
calls at once, large photographs), while each server's health is asked ten times a second on a connection of its own. Reported: the
slowest answer of each server, and the 99th percentile. To see the worst, run it on one busy core (`taskset -c 1 python bench/liveness.py`).
Then one server is stopped by SIGSTOP with the settings as they ship: how long until another one serves in its place.
`python bench/liveness.py` writes bench/results/liveness.{json,md}.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from imajin_client import AsyncClient
from imajin_client.up.probes import grpc_answers, http_answers
from imajin_client.up.settings import UpSettings
from results import Cell, write

SERVERS = ("vram", "prompt", "diffusion", "processing", "orchestrator", "gateway")
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.1
LARGE = "large"
CONFIG = """
[[diffusion.models]]
name = "large"
source = "{source}"
[diffusion]
default_model = "embedded"
[vram]
cards = "simulated"
simulated_bytes = "16GiB"
"""


def make_large(folder: Path) -> None:
    """The embedded model with a large denoiser of random weights in float32: about 0.9 GB."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    from imajin_servers.diffusion.settings import EMBEDDED

    small = StableDiffusionPipeline.from_pretrained(EMBEDDED, dtype=torch.float32)
    config = {**small.unet.config, "block_out_channels": [480, 704, 960], "layers_per_block": 2, "norm_num_groups": 32}
    shutil.copytree(EMBEDDED, folder, ignore=shutil.ignore_patterns("unet"))
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")


def addresses() -> dict[str, str]:
    """A free address for each program."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in SERVERS]
    found = {name: f"127.0.0.1:{opened.getsockname()[1]}" for name, opened in zip(SERVERS, sockets, strict=True)}
    for opened in sockets:
        opened.close()
    return found


async def ask(address: str, answers: Callable[[str, float], Awaitable[bool]], took: list[float]) -> None:
    """Asks again and again; notes how long each answer took."""
    while True:
        began = time.perf_counter()
        alive = await answers(address, PATIENCE_SECONDS)
        seconds = time.perf_counter() - began
        # One that does not serve yet refuses at once.
        if alive or seconds > 1:
            took.append(seconds)
        await asyncio.sleep(PAUSE_SECONDS)


async def work(places: dict[str, str]) -> None:
    """The heaviest work that each server knows."""
    servers = {name: place for name, place in places.items() if name != "gateway"}
    noise = np.random.default_rng(0).integers(0, 255, (250, 375, 3), np.uint8)
    photograph = Image.fromarray(noise).resize((4500, 3000), Image.Resampling.BICUBIC)
    async with AsyncClient(servers) as client:
        await asyncio.gather(
            client.describe("a wedding in Kyoto", count=4, seed=1, timeout=3600),
            client.generate("a red apple", steps=4, seed=1, timeout=3600),
            client.process(photograph, timeout=3600),
        )
        large = client.generate("a red apple", model=LARGE, steps=2, seed=1, timeout=3600)
        many = [client.generate("a red apple", steps=12, seed=seed, timeout=3600) for seed in range(4)]
        described = [client.describe("a wedding in Kyoto", count=2, seed=seed, timeout=3600) for seed in range(2)]
        processed = [client.process(photograph, timeout=3600) for _ in range(2)]
        await asyncio.gather(large, *many, *described, *processed)
        job = await client.batch_sizes("a red apple", sizes=["hero", "og", "card", "avatar"], steps=4)
        await client.jobs.wait(job.job_id)


def process_of(supervisor: subprocess.Popen[bytes], name: str) -> psutil.Process:
    """The process of a server."""
    children = psutil.Process(supervisor.pid).children()
    return next(child for child in children if f"imajin_servers.{name}" in child.cmdline())


async def restarted(supervisor: subprocess.Popen[bytes], place: str) -> float:
    """Stops the processing server by SIGSTOP; seconds until another one answers."""
    process_of(supervisor, "processing").send_signal(signal.SIGSTOP)
    began = time.perf_counter()
    while not await grpc_answers(place, 1.0):
        pass
    return time.perf_counter() - began


@contextlib.contextmanager
def suite(folder: Path, places: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`imajin up` in `folder`; what it said is shown at the end."""
    variables = {f"IMAJIN_{name.upper()}_ADDRESS": place for name, place in places.items()}
    # On one busy core an answer takes minutes.
    patient = {
        "IMAJIN_PROMPT_LLM_TIMEOUT_SECONDS": "3600",
        "IMAJIN_UP_START_SECONDS": "900",
        "IMAJIN_UP_METRICS": "false",
    }
    environment = {**os.environ, **variables, **patient}
    (folder / "imajin.toml").write_text(CONFIG.format(source=folder / LARGE))
    with (folder / "up.log").open("wb") as log:
        command = [sys.executable, "-m", "imajin_client", "up"]
        supervisor = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        yield supervisor
    finally:
        supervisor.terminate()
        supervisor.wait()
        sys.stderr.write((folder / "up.log").read_text())


async def measure(supervisor: subprocess.Popen[bytes], places: dict[str, str]) -> None:
    """Works, asks, writes."""
    took: dict[str, list[float]] = {name: [] for name in places}
    probes = {name: http_answers if name == "gateway" else grpc_answers for name in places}
    asking = [asyncio.create_task(ask(place, probes[name], took[name])) for name, place in places.items()]
    while not all(took.values()):
        assert supervisor.poll() is None, "the suite does not start"
        await asyncio.sleep(0.2)
    for times in took.values():
        times.clear()
    began = time.perf_counter()
    await work(places)
    worked = time.perf_counter() - began
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    back = await restarted(supervisor, places["processing"])
    rows: list[list[Cell]] = [
        [name, max(times), float(np.percentile(times, 99)), len(times)] for name, times in took.items()
    ]
    ships = UpSettings(liveness_seconds=UpSettings.model_fields["liveness_seconds"].default)
    note = (
        f"{worked:.0f} s of work on {len(os.sched_getaffinity(0))} core(s), load {os.getloadavg()[0]:.1f}. As it ships a check waits"
        f" {ships.liveness_timeout:g} s for its answer, the next begins {ships.liveness_seconds:g} s later, and {ships.liveness_failures} in a"
        f" row have to fail: no server is ended before {ships.longest_silence:g} s of silence. A server that was stopped by SIGSTOP was"
        f" ended, and another one answered in its place, after {back:.0f} s ({ships.stop_seconds:g} s of them are its time to stop by itself)."
    )
    title = "How long servers at work leave a health check unanswered"
    write("liveness", title, ["server", "slowest answer, s", "99th percentile, s", "checks"], rows, note)


def main() -> None:
    """Measures and writes."""
    folder = Path(tempfile.mkdtemp(prefix="imajin-liveness-"))
    try:
        make_large(folder / LARGE)
        places = addresses()
        with suite(folder, places) as supervisor:
            asyncio.run(measure(supervisor, places))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
