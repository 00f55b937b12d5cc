"""How long the processing server's event loop stands still under load. Run as a program it is the client of the load.

The client is a process of its own: what it does before a call (hashes of the file, opening eight calls in one turn) stands in no server's way.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import IO

import grpc

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.processing.__main__ import build
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.images import chunks
from imajin_servers.runtime.server import OPTIONS, Lifetime, out_of_sight
from noise import HEIGHT, WIDTH, picture, png_of


async def sent(data: bytes) -> AsyncIterator[pb.ProcessRequest]:
    """A call's messages: the default pipeline."""
    yield pb.ProcessRequest(spec=pb.ProcessSpec())
    for chunk in chunks(data, image_pb2.IMAGE_FORMAT_PNG, WIDTH, HEIGHT):
        yield pb.ProcessRequest(chunk=chunk)


async def load(address: str, calls: int, orders: IO[str]) -> None:
    """Makes `calls` calls at once for each line of `orders`, after one to warm up, and prints how many seconds they took."""
    png = png_of(picture())

    async def one(stub: pb_grpc.ProcessingServiceStub) -> None:
        async for _ in stub.Process(sent(png)):
            pass

    async with connect(address) as channel:
        stub = pb_grpc.ProcessingServiceStub(channel)
        await one(stub)
        print(0, flush=True)
        while await asyncio.to_thread(orders.readline):
            began = time.perf_counter()
            await asyncio.gather(*(one(stub) for _ in range(calls)))
            print(time.perf_counter() - began, flush=True)


async def stalls(calls: int, runs: int) -> list[tuple[float, float]]:
    """For each of `runs` loads of `calls` default pipelines: the longest time for which the loop did not turn, and wall time, in ms."""
    server = grpc.aio.server(options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    gaps: list[float] = []

    async def watch() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - last - 0.001)
            last = time.perf_counter()

    seen: list[tuple[float, float]] = []
    async with build(ProcessingSettings(), Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        out_of_sight()
        await server.start()
        client = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            f"127.0.0.1:{port}",
            str(calls),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        await client.stdout.readline()
        watcher = asyncio.create_task(watch())
        for _ in range(runs):
            gaps.clear()
            client.stdin.write(b"go\n")
            wall = float(await client.stdout.readline())
            seen.append((max(gaps) * 1000, wall * 1000))
        watcher.cancel()
        client.stdin.close()
        await client.wait()
        await server.stop(0)
    return seen


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], int(sys.argv[2]), sys.stdin))
