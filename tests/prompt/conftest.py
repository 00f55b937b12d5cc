"""A prompt server in the tests' own loop, with the embedded model, on a free port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from imajin.prompt.v1 import prompt_pb2_grpc
from imajin_servers.prompt.classification import Classifier
from imajin_servers.prompt.service import build
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.server import Lifetime

from ..serving import served


@dataclass
class Running:
    """A server under test: its stub, and the engine behind it to look at."""

    stub: Any
    engine: Any


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Running]:
    async with served(build(PromptSettings(**settings), Lifetime())) as there:
        yield Running(prompt_pb2_grpc.PromptServiceStub(there.channel), there.services[0].servicer.analyst.engine)


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
