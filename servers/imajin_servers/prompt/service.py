"""What the prompt server is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from imajin.prompt.v1 import prompt_pb2, prompt_pb2_grpc
from imajin_servers.prompt.analysis import Analyst
from imajin_servers.prompt.classification import Classifier, Query
from imajin_servers.prompt.composition import brief_of
from imajin_servers.prompt.generation import generation_of
from imajin_servers.prompt.reasoning.embedded import EmbeddedEngine
from imajin_servers.prompt.reasoning.engine import Engine
from imajin_servers.prompt.reasoning.openai import OpenAIEngine
from imajin_servers.prompt.reasoning.residency import LeaseTerms
from imajin_servers.prompt.reasoning.vllm import DEFAULT_MODEL, VllmEngine, VllmOptions
from imajin_servers.prompt.servicer import PromptServicer
from imajin_servers.prompt.settings import PromptSettings
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime, Service

SERVICE = prompt_pb2.DESCRIPTOR.services_by_name["PromptService"].full_name


@asynccontextmanager
async def build(settings: PromptSettings, lifetime: Lifetime) -> AsyncIterator[Sequence[Service]]:
    """The services of the prompt server; the rules are read here, the model by the first request."""
    classifier = await asyncio.to_thread(read_rules)
    async with AsyncExitStack() as stack:
        lease = None
        if settings.lease == "auto":
            channel = await stack.enter_async_context(connect(settings.addresses.vram))
            client = LeaseClient(channel, settings.lease_outage_seconds)
            lease = LeaseTerms(client, settings.lease_priority, settings.lease_wait_seconds)
        engine = engine_of(settings, lease)
        stack.push_async_callback(engine.close)
        analyst = Analyst(classifier, engine, settings.sizes)
        servicer = PromptServicer(analyst, settings.llm_timeout_seconds)
        yield [Service(SERVICE, prompt_pb2_grpc.add_PromptServiceServicer_to_server, servicer)]


def read_rules() -> Classifier:
    """The classifier; everything that a first request would have to read is read."""
    classifier = Classifier()
    query = Query("a bowl of ramen in Kyoto")
    brief = brief_of(query, classifier.classify(query), age="", gender="", count=1, seed=0)
    generation_of(brief, query.description, (), None, {})
    return classifier


def engine_of(settings: PromptSettings, lease: LeaseTerms | None) -> Engine:
    """The engine that the settings name."""
    match settings.engine:
        case "embedded":
            path = Path(settings.model) if settings.model else None
            return EmbeddedEngine(path, max_waiting=settings.max_waiting, lease=lease)
        case "openai":
            return OpenAIEngine(
                settings.openai_base_url,
                settings.model or DEFAULT_MODEL,
                api_key=settings.openai_api_key.get_secret_value(),
                capable=settings.openai_capable,
                silence=settings.llm_timeout_seconds,
                response_format=settings.openai_response_format,
                at_once=settings.openai_at_once,
                max_waiting=settings.max_waiting,
            )
        case "vllm":
            options = VllmOptions(
                model=settings.model or DEFAULT_MODEL,
                tensor_parallel_size=settings.tensor_parallel_size,
                quantization=settings.quantization,
                max_model_len=settings.max_model_len,
                gpu_memory_utilization=settings.gpu_memory_utilization,
                reasoning_parser=settings.reasoning_parser,
                enforce_eager=settings.enforce_eager,
            )
            return VllmEngine(options, lease=lease, at_once=settings.vllm_at_once, max_waiting=settings.max_waiting)
