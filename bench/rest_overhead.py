"""What the REST shim costs over direct gRPC, and how that compares with base64 JSON over FastAPI.

One gRPC server with known answers, the real gateway in front of it, and a FastAPI app that gives the same answers from memory, each in a
process of its own; one client calls them in turn (A B A B ...). The figures are wall time, and CPU time of client plus servers, medians.
`python bench/rest_overhead.py` writes bench/results/rest_overhead.{json,md}. FastAPI comes with the extra `bench`.
"""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import grpc
import httpx
import uvicorn
from pydantic import BaseModel

from imajin.common.v1 import image_pb2
from imajin.job.v1 import job_pb2, job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2, orchestrator_pb2_grpc
from imajin.processing.v1 import processing_pb2, processing_pb2_grpc
from imajin_gateway.__main__ import bind
from imajin_gateway.app import make_app
from imajin_gateway.settings import Addresses, GatewaySettings
from results import write

IMAGE = random.Random(0).randbytes(1_600_000)
SIZES = {f"size-{number}": {"width": 100 + number, "height": 50} for number in range(10)}
PIECE = 512 * 1024
RUNS = int(os.environ.get("IMAJIN_BENCH_RUNS", "60"))
WARM_UP = 5
PNG = {"content-type": "image/png"}

Fetch = Callable[[], Awaitable[object]]


class Upload(BaseModel):
    """The body of an upload as FastAPI reads it."""

    imageData: str  # noqa: N815 - the documented name


def chunks(data: bytes) -> list[image_pb2.ImageChunk]:
    """`data` as the servers send it."""
    info = image_pb2.ImageInfo(format=image_pb2.IMAGE_FORMAT_PNG, size_bytes=len(data), sha256=bytes(32))
    return [
        image_pb2.ImageChunk(
            offset=offset,
            data=data[offset : offset + PIECE],
            info=info if offset == 0 else None,
            last=offset + PIECE >= len(data),
        )
        for offset in range(0, len(data), PIECE)
    ]


class Answers(
    orchestrator_pb2_grpc.OrchestratorServiceServicer,
    job_pb2_grpc.JobServiceServicer,
    processing_pb2_grpc.ProcessingServiceServicer,
):
    """Known answers: a small message, an image, and a small one to an upload."""

    async def ListSizes(self, request: Any, context: Any) -> Any:
        """Ten sizes."""
        sizes = {name: image_pb2.Size(**size) for name, size in SIZES.items()}
        return orchestrator_pb2.ListSizesResponse(sizes=sizes)

    async def GetJobResult(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The image."""
        for chunk in chunks(IMAGE):
            yield job_pb2.GetJobResultResponse(chunk=chunk)
        result = job_pb2.JobResult(format=image_pb2.IMAGE_FORMAT_PNG, width=1024, height=1024)
        yield job_pb2.GetJobResultResponse(result=result)

    async def DetectFocalPoint(self, requests: Any, context: Any) -> Any:
        """The centre, when all has come."""
        size = 0
        async for request in requests:
            size += len(request.chunk.data)
        if size != len(IMAGE):
            raise ValueError(f"got {size} bytes")
        return processing_pb2.DetectFocalPointResponse(focal_point=image_pb2.FocalPoint(x=0.5, y=0.5))


async def serve_grpc(pipe: Connection, ports: dict[str, int]) -> None:
    """The server that both ways end at."""
    server = grpc.aio.server()
    orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(Answers(), server)
    job_pb2_grpc.add_JobServiceServicer_to_server(Answers(), server)
    processing_pb2_grpc.add_ProcessingServiceServicer_to_server(Answers(), server)
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await asyncio.to_thread(answer, pipe)
    await server.stop(None)


async def serve_gateway(pipe: Connection, ports: dict[str, int]) -> None:
    """The gateway."""
    upstream = f"127.0.0.1:{ports['grpc']}"
    names = ("prompt", "diffusion", "processing", "vram", "orchestrator")
    addresses = Addresses(gateway="127.0.0.1:0", **dict.fromkeys(names, upstream))
    await serve_http(make_app(GatewaySettings(addresses=addresses, log_level="error")), pipe)


async def serve_fastapi(pipe: Connection, ports: dict[str, int]) -> None:
    """The same answers from memory, by hand."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/sizes")
    async def sizes() -> dict[str, Any]:
        return {"sizes": SIZES}

    @app.get("/result")
    async def result() -> dict[str, Any]:
        return {"imageData": base64.b64encode(IMAGE).decode(), "format": "png", "width": 1024, "height": 1024}

    @app.post("/focal-point")
    async def focal_point(upload: Upload) -> dict[str, Any]:
        if len(base64.b64decode(upload.imageData)) != len(IMAGE):
            raise ValueError("got another image")
        return {"x": 0.5, "y": 0.5}

    await serve_http(app, pipe)


async def serve_http(app: Any, pipe: Connection) -> None:
    """Serves an ASGI app until its pipe ends."""
    listener = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    task = asyncio.create_task(server.serve([listener]))
    pipe.send(listener.getsockname()[1])
    await asyncio.to_thread(answer, pipe)
    server.should_exit = True
    await task


def cpu_seconds() -> float:
    """CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def answer(pipe: Connection) -> None:
    """Answers each message with the CPU time so far, until the pipe ends."""
    with suppress(EOFError):
        while pipe.recv():
            pipe.send(cpu_seconds())


SERVERS = {"grpc": serve_grpc, "gateway": serve_gateway, "fastapi": serve_fastapi}


def run_server(name: str, pipe: Connection, ports: dict[str, int]) -> None:
    """Entry of a server's process."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    asyncio.run(SERVERS[name](pipe, ports))


def ways(ports: dict[str, int], channel: grpc.aio.Channel, http: httpx.AsyncClient) -> dict[str, dict[str, Fetch]]:
    """What is measured: by task, then by way."""
    orchestrator = orchestrator_pb2_grpc.OrchestratorServiceStub(channel)
    jobs = job_pb2_grpc.JobServiceStub(channel)
    processing = processing_pb2_grpc.ProcessingServiceStub(channel)
    gateway, fastapi = (f"http://127.0.0.1:{ports[name]}" for name in ("gateway", "fastapi"))

    async def small() -> None:
        await orchestrator.ListSizes(orchestrator_pb2.ListSizesRequest())

    async def down() -> None:
        data = bytearray()
        async for message in jobs.GetJobResult(job_pb2.GetJobResultRequest(job_id="a")):
            data += message.chunk.data
        check(bytes(data))

    async def up() -> None:
        async def messages() -> AsyncIterator[processing_pb2.DetectFocalPointRequest]:
            yield processing_pb2.DetectFocalPointRequest(spec=processing_pb2.DetectFocalPointSpec())
            for chunk in chunks(IMAGE):
                yield processing_pb2.DetectFocalPointRequest(chunk=chunk)

        await processing.DetectFocalPoint(messages())

    def get(url: str, accept: str = "application/json") -> Fetch:
        async def fetch() -> None:
            body = (await http.get(url, headers={"accept": accept})).raise_for_status()
            if accept == "image/*":
                check(body.content)
            elif "imageData" in (value := body.json()):
                check(base64.b64decode(value["imageData"]))

        return fetch

    def post_json(url: str) -> Fetch:
        async def fetch() -> None:
            body = {"imageData": base64.b64encode(IMAGE).decode()}
            (await http.post(url, json=body)).raise_for_status()

        return fetch

    async def post_bytes() -> None:
        (await http.post(f"{gateway}/focal-point", content=IMAGE, headers=PNG)).raise_for_status()

    result = f"{gateway}/jobs/a/result"
    return {
        "small unary call": {
            "direct gRPC": small,
            "REST shim": get(f"{gateway}/sizes"),
            "FastAPI": get(f"{fastapi}/sizes"),
        },
        "1.6 MB image down": {
            "direct gRPC": down,
            "REST shim, raw bytes": get(result, "image/*"),
            "REST shim, base64 JSON": get(result),
            "FastAPI, base64 JSON": get(f"{fastapi}/result"),
        },
        "1.6 MB image up": {
            "direct gRPC": up,
            "REST shim, raw bytes": post_bytes,
            "REST shim, base64 JSON": post_json(f"{gateway}/focal-point"),
            "FastAPI, base64 JSON": post_json(f"{fastapi}/focal-point"),
        },
    }


def check(data: bytes) -> None:
    """Ends the bench where an image was changed on its way."""
    if data != IMAGE:
        raise SystemExit("an image was changed on its way")


async def measure(ports: dict[str, int], pipes: dict[str, Connection]) -> list[list[str | float]]:
    """A row for each task and way; ways take turns, so that what else the machine does hits all alike."""

    def used() -> float:
        for pipe in pipes.values():
            pipe.send(True)
        return cpu_seconds() + sum(pipe.recv() for pipe in pipes.values())

    rows: list[list[str | float]] = []
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel,
        httpx.AsyncClient(verify=False, timeout=60) as http,
    ):
        for task, fetches in ways(ports, channel, http).items():
            walls: dict[str, list[float]] = {way: [] for way in fetches}
            cpus: dict[str, list[float]] = {way: [] for way in fetches}
            for turn in range(RUNS + WARM_UP):
                for way, fetch in fetches.items():
                    cpu, began = used(), time.perf_counter()
                    await fetch()
                    wall, spent = time.perf_counter() - began, used() - cpu
                    if turn >= WARM_UP:
                        walls[way].append(wall * 1000)
                        cpus[way].append(spent * 1000)
            direct = statistics.median(walls["direct gRPC"])
            for way in fetches:
                wall = statistics.median(walls[way])
                rows.append([task, way, wall, wall / direct, statistics.median(cpus[way])])
    return rows


def main() -> None:
    """Starts the servers, measures, writes the results."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    ports: dict[str, int] = {}
    processes = []
    for name in SERVERS:
        ours, theirs = context.Pipe()
        process = context.Process(target=run_server, args=(name, theirs, dict(ports)), daemon=True)
        process.start()
        theirs.close()
        pipes[name], ports[name] = ours, ours.recv()
        processes.append(process)
    rows = asyncio.run(measure(ports, pipes))
    for pipe in pipes.values():
        pipe.close()
    for process in processes:
        process.join(10)
    write(
        "rest_overhead",
        f"The REST shim over direct gRPC, and FastAPI, medians of {RUNS} interleaved runs",
        ["task", "way", "wall ms", "times direct gRPC", "CPU ms, client and servers"],
        rows,
        "FastAPI answers from its own memory: one hop, where the shim has two. All HTTP is sent and read by httpx.",
    )


if __name__ == "__main__":
    sys.exit(main())
