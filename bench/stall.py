"""How long the processing server's event loop stands still under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.processing.__main__ import build
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.images import chunks
from imajin_servers.runtime.server import OPTIONS, Lifetime
from noise import HEIGHT, WIDTH


def messages(spec: pb.ProcessSpec, data: bytes) -> list[pb.ProcessRequest]:
    """All of a call's messages."""
    pieces = chunks(data, image_pb2.IMAGE_FORMAT_PNG, WIDTH, HEIGHT)
    return [pb.ProcessRequest(spec=spec), *(pb.ProcessRequest(chunk=chunk) for chunk in pieces)]


async def sent(messages: list[pb.ProcessRequest]) -> AsyncIterator[pb.ProcessRequest]:
    """The same, one after the other."""
    for message in messages:
        yield message


async def worst_stall(png: bytes, calls: int) -> tuple[float, float]:
    """The longest time, in ms, for which the server's event loop did not turn under `calls` default pipelines; and their wall time.

    Client and server share the loop here, so the client's work is in it too, but for what a client does before it calls: eight hashes
    of the file in one turn were most of what stood still.
    """
    upload = messages(pb.ProcessSpec(), png)
    settings = ProcessingSettings()
    server = grpc.aio.server(options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    gaps: list[float] = []

    async def watch() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - last - 0.001)
            last = time.perf_counter()

    async def one(stub: pb_grpc.ProcessingServiceStub) -> None:
        async for _ in stub.Process(sent(upload)):
            pass

    async with build(settings, Lifetime()) as services, connect(f"127.0.0.1:{port}") as channel:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        stub = pb_grpc.ProcessingServiceStub(channel)
        await one(stub)
        watcher = asyncio.create_task(watch())
        began = time.perf_counter()
        await asyncio.gather(*(one(stub) for _ in range(calls)))
        wall = time.perf_counter() - began
        watcher.cancel()
        await server.stop(0)
    return max(gaps) * 1000, wall * 1000
