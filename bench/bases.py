"""The bases of a batch one after another against together, by the diffusion server over loopback, on the model that ships.

`python bench/bases.py` writes bench/results/bases.{json,md}. Rounds in turn; wall time and CPU time of this process, least of the rounds.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import grpc

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_servers.diffusion.build import build
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.orchestrator.flows.together import together
from imajin_servers.orchestrator.peers.diffusion import Diffusion
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import OPTIONS, Lifetime
from results import Cell, write

ROUNDS = int(os.environ.get("IMAJIN_BENCH_ROUNDS", "3"))
STEPS = 8


async def draw(diffusion: Diffusion, size: image_pb2.Size) -> None:
    """One base, pixels and all."""
    request = diffusion_pb2.GenerateRequest(
        prompt="a happy panda",
        width=size.width,
        height=size.height,
        steps=STEPS,
        seed=1,
        format=image_pb2.IMAGE_FORMAT_RAW_RGB8,
        noise_canvas=image_pb2.Size(width=320, height=320),
        preview_interval=5,
    )
    async for _ in diffusion.generate(request):
        pass


async def measured(diffusion: Diffusion) -> list[list[Cell]]:
    """A row a way."""
    (model, *_) = await diffusion.models()
    bases = [partial(draw, diffusion, size) for size in model.base_sizes]
    await together(bases, 1)
    ways = {"one after another": 1, "together": len(bases)}
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, at_most in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            await together(bases, at_most)
            seen[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    least = {name: [min(one[part] for one in times) for part in (0, 1)] for name, times in seen.items()}
    first = least["one after another"]
    return [[name, *times, times[0] / first[0], times[1] / first[1]] for name, times in least.items()]


async def main() -> None:
    """Starts a server in this process, asks it, writes."""
    settings = DiffusionSettings(lease="off")
    server = grpc.aio.server(options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    async with build(settings, Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        channel = connect(address)
        try:
            rows = await measured(Diffusion(channel, 2**26))
        finally:
            await channel.close()
            await server.stop(0)
    write(
        "bases",
        "The bases of a batch, one after another and together",
        ["asked for", "wall s", "CPU s", "wall against first", "CPU against first"],
        rows,
        f"The embedded model's base sizes, {STEPS} steps, one thread, previews every 5 steps; bases of different shapes share no pass.",
    )


if __name__ == "__main__":
    asyncio.run(main())
