"""A prompt server in the tests' own loop, with the embedded model, on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from imajin.prompt.v1 import prompt_pb2_grpc
from imajin_servers.prompt.classification import Classifier
from imajin_servers.prompt.service import build
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import OPTIONS, Lifetime


@dataclass
class Running:
    """A server under test: its stub, and the engine behind it to look at."""

    stub: Any
    engine: Any


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Running]:
    server = grpc.aio.server(interceptors=[CallInterceptor()], options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    async with build(PromptSettings(**settings), Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        async with connect(f"127.0.0.1:{port}") as channel:
            yield Running(prompt_pb2_grpc.PromptServiceStub(channel), services[0].servicer.analyst.engine)
        await server.stop(None)


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return Classifier()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedded() -> AsyncIterator[Running]:
    async with running(lease="off", max_waiting=2) as server:
        yield server


@pytest.fixture(scope="session")
def start_prompt() -> Callable[..., AbstractAsyncContextManager[Running]]:
    """Starts a server with settings of the test's own."""
    return running
