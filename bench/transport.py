"""One hop from pixels to pixels: raw RGB in gRPC chunks against PNG in base64 JSON over FastAPI, as the old system did it.

Both servers run in processes of their own, both clients read one 1024x1024 picture in turn (A B A B ...), and the figure is CPU
time of client plus server a picture, next to the wall time. `python bench/transport.py` writes bench/results/transport.{json,md}.
"""

from __future__ import annotations

import asyncio
import base64
import io
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import grpc
import numpy as np
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.images import Assembly, chunks
from results import write

SIDE = 1024
RUNS = int(os.environ.get("IMAJIN_BENCH_RUNS", "15"))


def picture() -> np.ndarray[Any, Any]:
    """A picture with smooth and busy parts, (1024, 1024, 3) uint8: PNG size near that of a drawn one."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    smooth = np.stack([x, y, (x + y) / 2], -1) * 200
    busy = rng.normal(0, 6, (SIDE, SIDE, 3)) * (x[..., None] > 0.5)
    return np.clip(smooth + busy + 20, 0, 255).astype(np.uint8)


def cpu_seconds() -> float:
    """CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class RawServicer(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Answers with raw pixels in chunks."""

    def __init__(self) -> None:
        self.pixels = picture()

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[diffusion_pb2.GenerateResponse]:
        """Streams the picture."""
        for chunk in chunks(self.pixels.tobytes(), image_pb2.IMAGE_FORMAT_RAW_RGB8, SIDE, SIDE):
            yield diffusion_pb2.GenerateResponse(chunk=chunk)


async def serve_grpc(pipe: Connection) -> None:
    """The gRPC side, until its pipe ends. Each message on the pipe is answered with the CPU time so far."""
    server = grpc.aio.server()
    diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(RawServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pipe.send(port)
    await asyncio.to_thread(answer, pipe)
    await server.stop(None)


async def serve_json(pipe: Connection) -> None:
    """The base64 side, until its pipe ends."""
    import socket

    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()
    pixels = picture()

    @app.get("/image")
    def image() -> dict[str, Any]:
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG")
        data = base64.b64encode(encoded.getvalue()).decode()
        return {"imageData": data, "format": "png", "width": SIDE, "height": SIDE}

    # Named as TCP: asyncio turns Nagle's delay off only on sockets whose protocol says so.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    task = asyncio.create_task(server.serve([listener]))
    pipe.send(listener.getsockname()[1])
    await asyncio.to_thread(answer, pipe)
    server.should_exit = True
    await task


def answer(pipe: Connection) -> None:
    """Answers each message with the CPU time so far."""
    try:
        while pipe.recv():
            pipe.send(cpu_seconds())
    except EOFError:
        return


def run_server(serve: Callable[[Connection], Awaitable[None]], pipe: Connection) -> None:
    """Entry of a server's process."""
    asyncio.run(serve(pipe))  # type: ignore[arg-type]


async def measure(ports: dict[str, int], pipes: dict[str, Connection]) -> dict[str, dict[str, list[float]]]:
    """Times both ways in turn; the first two rounds are not counted."""
    import httpx

    expected = picture()
    http = httpx.AsyncClient()
    times: dict[str, dict[str, list[float]]] = {name: {"cpu_ms": [], "wall_ms": []} for name in ports}

    async def by_grpc() -> np.ndarray[Any, Any]:
        assembly = Assembly(limit=64 << 20)
        call = stub.Generate(diffusion_pb2.GenerateRequest(prompt="x"))
        async for answer in call:
            assembly.add(answer.chunk)
        return np.frombuffer(assembly.result().data, np.uint8).reshape(SIDE, SIDE, 3)

    async def by_json() -> np.ndarray[Any, Any]:
        body = (await http.get(f"http://127.0.0.1:{ports['json']}/image")).json()
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(body["imageData"]))))

    async with connect(f"127.0.0.1:{ports['grpc']}") as channel:
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        for round_number in range(RUNS + 2):
            for name, fetch in (("grpc", by_grpc), ("json", by_json)):
                pipes[name].send(True)
                server_before, own_before, began = pipes[name].recv(), cpu_seconds(), time.perf_counter()
                pixels = await fetch()
                wall, own = time.perf_counter() - began, cpu_seconds() - own_before
                pipes[name].send(True)
                server = pipes[name].recv() - server_before
                if not np.array_equal(pixels, expected):
                    raise SystemExit(f"{name} changed the picture")
                if round_number >= 2:
                    times[name]["cpu_ms"].append((own + server) * 1000)
                    times[name]["wall_ms"].append(wall * 1000)
    await http.aclose()
    return times


def main() -> None:
    """Starts both servers, measures, writes the results."""
    context = multiprocessing.get_context("spawn")
    pipes, ports, processes = {}, {}, []
    for name, serve in (("grpc", serve_grpc), ("json", serve_json)):
        ours, theirs = context.Pipe()
        process = context.Process(target=run_server, args=(serve, theirs), daemon=True)
        process.start()
        theirs.close()
        pipes[name], ports[name] = ours, ours.recv()
        processes.append(process)
    times = asyncio.run(measure(ports, pipes))
    for pipe in pipes.values():
        pipe.close()
    for process in processes:
        process.join(10)
    median = {
        name: {figure: statistics.median(values) for figure, values in kinds.items()} for name, kinds in times.items()
    }
    ratio = {figure: median["json"][figure] / median["grpc"][figure] for figure in ("cpu_ms", "wall_ms")}
    write(
        "transport",
        f"One 1024x1024 picture from pixels to pixels, medians of {RUNS} interleaved runs",
        ["way", "CPU ms, client and server", "wall ms"],
        [
            ["raw RGB in gRPC chunks", median["grpc"]["cpu_ms"], median["grpc"]["wall_ms"]],
            ["PNG in base64 JSON, FastAPI and httpx", median["json"]["cpu_ms"], median["json"]["wall_ms"]],
            ["ratio", ratio["cpu_ms"], ratio["wall_ms"]],
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
