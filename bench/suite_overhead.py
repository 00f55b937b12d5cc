"""What the diffusion server adds to the plain diffusers pipeline: the same picture both ways, in turn.

The plain side is DiffusionPipeline in this process with the same threads; the suite side is the real diffusion and vram servers as
processes of their own, called over gRPC with progress on, pixels back as raw RGB. Reported: wall time a picture and the ratio of the
two, the time to the first event, and how often both pictures are equal byte by byte.
`python bench/suite_overhead.py` writes bench/results/suite_overhead.{json,md}.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.images import Assembly
from results import write

RUNS = int(os.environ.get("IMAJIN_BENCH_RUNS", "9"))
PROMPT = "a happy panda eating watermelon"
SERVERS = ("vram", "diffusion")


def start_servers(folder: Path) -> tuple[list[subprocess.Popen[bytes]], str]:
    """Starts both servers on free ports; returns them and the address of the diffusion server."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in SERVERS]
    addresses = {name: f"127.0.0.1:{opened.getsockname()[1]}" for name, opened in zip(SERVERS, sockets, strict=True)}
    for opened in sockets:
        opened.close()
    # The pictures are compared bit for bit with the plain pipeline's; bench/credentials.py says what a mark costs.
    bare = {"IMAJIN_CREDENTIALS_MARKS": "false", "IMAJIN_CREDENTIALS_MANIFESTS": "false"}
    environment = os.environ | bare | {f"IMAJIN_{name.upper()}_ADDRESS": address for name, address in addresses.items()}
    processes = []
    for name in SERVERS:
        with (folder / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", f"imajin_servers.{name}"]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    for address in addresses.values():
        with grpc.insecure_channel(address) as channel:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=120)
    return processes, addresses["diffusion"]


async def by_suite(
    stub: diffusion_pb2_grpc.DiffusionServiceAsyncStub, steps: int, guidance: float, size: tuple[int, int], seed: int
) -> tuple[bytes, float]:
    """One picture from the server: raw RGB bytes, and seconds until the first event."""
    request = diffusion_pb2.GenerateRequest(
        prompt=PROMPT,
        steps=steps,
        guidance_scale=guidance,
        width=size[0],
        height=size[1],
        seed=seed,
        format=image_pb2.IMAGE_FORMAT_RAW_RGB8,
    )
    assembly, began, first = Assembly(64 << 20), time.perf_counter(), 0.0
    async for event in stub.Generate(request):
        first = first or time.perf_counter() - began
        if event.HasField("chunk"):
            assembly.add(event.chunk)
    return assembly.result().data, first


async def measure(address: str) -> None:
    """Times both ways in turn; the first round is not counted."""
    import torch
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    plain_times, suite_times, firsts, equal = [], [], [], 0
    async with connect(address) as channel:
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        model = (await stub.ListModels(diffusion_pb2.ListModelsRequest())).models[0]
        size = (model.base_sizes[0].width, model.base_sizes[0].height)
        pipeline = DiffusionPipeline.from_pretrained(model.source, torch_dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        for seed in range(RUNS + 1):
            began = time.perf_counter()
            image = await asyncio.to_thread(
                lambda seed=seed: pipeline(
                    PROMPT,
                    width=size[0],
                    height=size[1],
                    num_inference_steps=model.default_steps,
                    guidance_scale=model.default_guidance_scale,
                    generator=torch.Generator().manual_seed(seed),
                ).images[0]
            )
            pixels = image.tobytes()
            between = time.perf_counter()
            data, first = await by_suite(stub, model.default_steps, model.default_guidance_scale, size, seed)
            ended = time.perf_counter()
            if seed:
                plain_times.append(between - began)
                suite_times.append(ended - between)
                firsts.append(first)
                equal += data == pixels
    ratio = statistics.median(suite / plain for suite, plain in zip(suite_times, plain_times, strict=True))
    write(
        "suite_overhead",
        f"The suite over the plain diffusers pipeline: {size[0]}x{size[1]}, {model.default_steps} steps, one thread",
        ["figure", "value"],
        [
            ["plain pipeline, median ms", statistics.median(plain_times) * 1000],
            ["suite over gRPC, median ms", statistics.median(suite_times) * 1000],
            ["ratio suite / plain, median of pairs", ratio],
            ["first event after ms, median", statistics.median(firsts) * 1000],
            ["first event after ms, worst", max(firsts) * 1000],
            ["equal pictures", f"{equal} of {RUNS}"],
        ],
    )


def main() -> None:
    """Starts the servers, measures, ends them."""
    with tempfile.TemporaryDirectory() as folder:
        processes, address = start_servers(Path(folder))
        try:
            asyncio.run(measure(address))
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(30)


if __name__ == "__main__":
    main()
