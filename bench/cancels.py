"""How long a cancel takes, and what ten thousand cancelled generations leave behind: the diffusion server as a process of its own, over gRPC.

Both parts, or one alone:

`waits`: from the cancel of a generation in the middle of its steps until whoever stands next in line has heard that it has the place, beside
the time of a step. Wall time: it needs a quiet machine.
`memory`: calls are cancelled at once, when they were heard, or in the middle of their steps, in turn; resident memory of the server, from the
first thousand on. Generations beside them that nobody cancels must give the bytes that they give alone. Five minutes of one core.

Each writes bench/results/cancels_*.{json,md}.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.runtime.channels import connect
from results import Cell, write

CALLS = int(os.environ.get("IMAJIN_BENCH_CALLS", "10000"))
WAITS = int(os.environ.get("IMAJIN_BENCH_RUNS", "200"))
PLACES = {"waits": 1, "memory": 2}
TOGETHER = 12


def started(folder: Path, places: int) -> tuple[subprocess.Popen[bytes], str]:
    """The server, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "IMAJIN_DIFFUSION_ADDRESS": address,
        "IMAJIN_DIFFUSION_LEASE": "off",
        "IMAJIN_DIFFUSION_MAX_ACTIVE": str(places),
        "IMAJIN_CREDENTIALS_DIRECTORY": str(folder),
    }
    with (folder / "diffusion.log").open("wb") as log:
        command = [sys.executable, "-m", "imajin_servers.diffusion"]
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    with grpc.insecure_channel(address) as channel:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=120)
    return process, address


def resident(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of the process, MiB."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(process.pid)


class Caller:
    """Calls of one size, as bare pixels."""

    def __init__(self, stub: Any, side: int) -> None:
        self.stub = stub
        self.side = side

    def call(self, steps: int, seed: int = 1) -> Any:
        """A generation that has begun."""
        raw = image_pb2.IMAGE_FORMAT_RAW_RGB8
        return self.stub.Generate(
            diffusion_pb2.GenerateRequest(
                prompt="a red apple", width=self.side, height=self.side, steps=steps, seed=seed, format=raw
            )
        )

    async def drawn(self) -> bytes:
        """The bytes of a generation that nobody cancels."""
        return b"".join([event.chunk.data async for event in self.call(20)])

    async def running(self) -> Any:
        """A generation that is in the middle of its steps."""
        call = self.call(150)
        async for event in call:
            if event.progress.denoising.step >= 2:
                return call
        raise AssertionError("the call ended")

    async def standing(self) -> Any:
        """A generation that has heard that it stands in line."""
        call = self.call(150, seed=2)
        async for event in call:
            if event.progress.queued.position == 1:
                return call
        raise AssertionError("the call ended")

    async def left(self, number: int) -> None:
        """A generation that is cancelled at once, when it is heard, or in the middle of its steps."""
        if number % 3 == 0:
            self.call(150).cancel()
        elif number % 3 == 1:
            call = self.call(150)
            await call.read()
            call.cancel()
        else:
            (await self.running()).cancel()


async def waits(caller: Caller) -> tuple[list[float], list[float]]:
    """Seconds from cancels until the next in line has the place, and seconds of a step of those that were cancelled."""
    freed: list[float] = []
    steps: list[float] = []
    running = caller.call(150)
    while True:
        steps += await between_steps(running)
        if len(freed) == WAITS:
            running.cancel()
            return freed, steps
        following = await caller.standing()
        began = time.perf_counter()
        running.cancel()
        async for event in following:
            if not event.progress.HasField("queued"):
                break
        freed.append(time.perf_counter() - began)
        running = following


async def between_steps(call: Any) -> list[float]:
    """Seconds of each step, up to the fifth or a little later; several may be told of at once."""
    seconds: list[float] = []
    seen, at = 0, 0.0
    async for event in call:
        step, now = event.progress.denoising.step, time.perf_counter()
        if step > seen:
            if seen:
                seconds.append((now - at) / (step - seen))
            seen, at = step, now
        if step >= 5:
            return seconds
    raise AssertionError("the call ended")


async def memory(caller: Caller, process: subprocess.Popen[bytes]) -> tuple[list[float], bool]:
    """MiB after each thousand cancelled calls, and whether those that nobody cancelled gave the bytes that they give alone."""
    alone = await caller.drawn()
    taken: list[float] = []
    same = True
    for thousand in range(0, CALLS, 1000):
        stays = asyncio.create_task(caller.drawn())
        for first in range(thousand, thousand + 1000, TOGETHER):
            last = min(first + TOGETHER, thousand + 1000)
            await asyncio.gather(*(caller.left(number) for number in range(first, last)))
        same = same and await stays == alone
        taken.append(resident(process))
    return taken, same


def percentile(values: list[float], share: float) -> float:
    """The least value that `share` of all lie at or below."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


async def measure_waits(stub: Any) -> None:
    """Measures and writes how long a cancel takes."""
    busy = os.getloadavg()[0]
    caller = Caller(stub, 256)
    (await caller.running()).cancel()
    freed, steps = await waits(caller)
    step, worst = statistics.median(steps), percentile(freed, 0.99)
    rows: list[list[Cell]] = [["a step, median", step * 1000, 1.0]]
    for name, value in (("median", statistics.median(freed)), ("99th percentile", worst), ("longest", max(freed))):
        rows.append([f"cancel to the next one's place, {name}", value * 1000, value / step])
    met = "met" if worst <= step + 0.1 else "missed"
    note = (
        f"{WAITS} cancels at 256 x 256, one place, always taken. Goal, a step and 100 ms at the 99th percentile: {met}. "
        f"The machine's load average was {busy:.1f} before the run: above 0, times are of the load."
    )
    write("cancels_waits", "How long a cancel takes", ["what", "ms", "ratio"], rows, note)


async def measure_memory(stub: Any, process: subprocess.Popen[bytes]) -> None:
    """Measures and writes what cancelled calls leave behind."""
    taken, same = await memory(Caller(stub, 64), process)
    rows: list[list[Cell]] = [
        [1000 * (number + 1), mib, mib - taken[0], mib / taken[0]] for number, mib in enumerate(taken)
    ]
    met = "met" if taken[-1] - taken[0] < 20 else "missed"
    note = (
        f"64 x 64, {TOGETHER} calls at a time for {PLACES['memory']} places. Generations that nobody cancelled gave the bytes that they give alone: {same}. "
        f"Goal, less than 20 MiB more: {met}."
    )
    columns = ["cancelled calls", "resident, MiB", "more, MiB", "ratio"]
    write("cancels_memory", "What cancelled calls leave behind", columns, rows, note)


async def measured(part: str, process: subprocess.Popen[bytes], address: str) -> None:
    """Measures and writes."""
    async with connect(address) as channel:
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        await (measure_waits(stub) if part == "waits" else measure_memory(stub, process))


def main() -> None:
    """Starts the server, measures, ends it."""
    for part in sys.argv[1:] or ["waits", "memory"]:
        with tempfile.TemporaryDirectory() as folder:
            process, address = started(Path(folder), PLACES[part])
            try:
                asyncio.run(measured(part, process, address))
            finally:
                process.terminate()
                process.wait(60)


if __name__ == "__main__":
    main()
