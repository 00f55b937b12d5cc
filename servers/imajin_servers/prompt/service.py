"""What the prompt server is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from imajin.prompt.v1 import prompt_pb2, prompt_pb2_grpc
from imajin_servers.prompt.analysis import Analyst
from imajin_servers.prompt.classification import Classifier
from imajin_servers.prompt.reasoning.embedded import EmbeddedEngine
from imajin_servers.prompt.reasoning.engine import Engine
from imajin_servers.prompt.servicer import PromptServicer
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.server import Lifetime, Service

SERVICE = prompt_pb2.DESCRIPTOR.services_by_name["PromptService"].full_name


@asynccontextmanager
async def build(settings: PromptSettings, lifetime: Lifetime) -> AsyncIterator[Sequence[Service]]:
    """The services of the prompt server; the rules are read here, the model by the first request."""
    classifier = await asyncio.to_thread(Classifier)
    engine = engine_of(settings)
    try:
        analyst = Analyst(classifier, engine, settings.sizes)
        servicer = PromptServicer(analyst, settings.llm_timeout_seconds)
        yield [Service(SERVICE, prompt_pb2_grpc.add_PromptServiceServicer_to_server, servicer)]
    finally:
        await engine.close()


def engine_of(settings: PromptSettings) -> Engine:
    """The engine that the settings name."""
    return EmbeddedEngine(Path(settings.model) if settings.model else None, max_waiting=settings.max_waiting)
