"""A real gateway over real HTTP, in front of wire doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin.job.v1 import job_pb2_grpc
from imajin.orchestrator.v1 import orchestrator_pb2_grpc
from imajin.processing.v1 import processing_pb2_grpc
from imajin.prompt.v1 import prompt_pb2_grpc
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_gateway.__main__ import Server, bind
from imajin_gateway.app import make_app
from imajin_gateway.connection import patient
from imajin_gateway.settings import Addresses, GatewaySettings

from .doubles import Doubles, Orchestrator

SERVERS = ("prompt", "diffusion", "processing", "vram", "orchestrator")
Start = Callable[..., Any]


@pytest.fixture
async def doubles() -> Doubles:
    return Doubles()


@pytest.fixture
async def upstream(doubles: Doubles) -> AsyncIterator[str]:
    """Address of a server with every service."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    prompt_pb2_grpc.add_PromptServiceServicer_to_server(doubles, server)
    diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server(doubles, server)
    processing_pb2_grpc.add_ProcessingServiceServicer_to_server(doubles, server)
    vram_lease_pb2_grpc.add_VramLeaseServiceServicer_to_server(doubles, server)
    job_pb2_grpc.add_JobServiceServicer_to_server(doubles, server)
    orchestrator_pb2_grpc.add_OrchestratorServiceServicer_to_server(Orchestrator(doubles), server)
    states = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    await states.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@pytest.fixture
async def start(upstream: str) -> AsyncIterator[Start]:
    """Starts gateways with settings of the test's choice; gives a client for each."""
    running: list[tuple[Server, httpx.AsyncClient]] = []

    async def one(
        draining: asyncio.Event | None = None, addresses: Addresses | None = None, **settings: Any
    ) -> httpx.AsyncClient:
        listener = bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        known = addresses or Addresses(gateway=f"127.0.0.1:{port}", **dict.fromkeys(SERVERS, upstream))
        told = GatewaySettings(addresses=known, **settings)
        app = make_app(told, draining)
        http = patient(told.head_seconds)
        config = uvicorn.Config(app, http=http, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        config.load()
        server = Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, verify=False)
        running.append((server, client))
        return client

    yield one
    for server, client in running:
        await client.aclose()
        # Server.shutdown() sleeps a tenth of a second for clients that are still there; here none is.
        for accepting in server.servers:
            accepting.close()
        await server.lifespan.shutdown()


@pytest.fixture
async def http(start: Start) -> httpx.AsyncClient:
    """A client of a gateway with default settings."""
    return await start()
