"""The diffusion server as the flows see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import grpc

from imajin.common.v1 import image_pb2, model_pb2, progress_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.orchestrator.clock import Clock
from imajin_servers.orchestrator.peers import calls
from imajin_servers.runtime.errors import DeadlineExceeded, Internal, ModelNotFound, ServerUnavailable
from imajin_servers.runtime.images import Assembly, Image

SERVER = "diffusion"
LIST_SECONDS = 10.0


@dataclass(frozen=True)
class Drawn:
    """A finished generation: what was made, and its bytes."""

    result: diffusion_pb2.GenerateResult
    image: Image


class Diffusion:
    """Calls to the diffusion server. Keeps the registry as last seen, for when the server is just starting again."""

    def __init__(self, channel: grpc.aio.Channel, max_image_bytes: int, patience: Clock | None = None) -> None:
        self.channel = channel
        self.stub: diffusion_pb2_grpc.DiffusionServiceAsyncStub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        self.max_image_bytes = max_image_bytes
        self.patience = patience
        self.registry: list[diffusion_pb2.Model] = []

    async def wait(self, seconds: float) -> None:
        """Waits until the server can be reached. Raises ServerUnavailable."""
        await calls.wait_for_server(SERVER, self.channel, seconds)

    async def generate(
        self, request: diffusion_pb2.GenerateRequest, timeout: float | None = None
    ) -> AsyncGenerator[progress_pb2.Progress | image_pb2.Preview | Drawn, None]:
        """Progress and previews as they come, and last what was drawn, within `timeout` seconds. Closing this generator cancels the call."""
        assembly = Assembly(self.max_image_bytes)
        drawn: Drawn | None = None
        call = partial(self.stub.Generate, request, metadata=calls.ids(), timeout=timeout)
        async with aclosing(calls.stream(SERVER, call, self.patience)) as answers:
            async for answer in answers:
                match answer.WhichOneof("event"):
                    case "progress":
                        yield answer.progress
                    case "preview":
                        yield answer.preview
                    case "chunk":
                        assembly.add(answer.chunk)
                    case "result":
                        drawn = Drawn(answer.result, assembly.result())
        if drawn is None:
            raise Internal("the diffusion server ended without a result")
        yield drawn

    async def models(self) -> list[diffusion_pb2.Model]:
        """The models of the registry, the default one first. Raises ServerUnavailable when it was never seen."""
        try:
            answer = await calls.single(
                SERVER,
                partial(
                    self.stub.ListModels,
                    diffusion_pb2.ListModelsRequest(),
                    metadata=calls.ids(),
                    timeout=LIST_SECONDS,
                ),
            )
        except (ServerUnavailable, DeadlineExceeded):
            if not self.registry:
                raise
            return self.registry
        self.registry = list(answer.models)
        return self.registry

    async def model(self, name: str, style: model_pb2.ModelStyle) -> diffusion_pb2.Model:
        """The model of this name, or the first of this style, or the default one. Raises ModelNotFound."""
        models = await self.models()
        known = [model.name for model in models]
        if name:
            for model in models:
                if model.name == name:
                    return model
            raise ModelNotFound.named(name, known)
        for model in models:
            if style == model_pb2.MODEL_STYLE_UNSPECIFIED or style in model.styles:
                return model
        raise ModelNotFound.named(model_pb2.ModelStyle.Name(style).removeprefix("MODEL_STYLE_").lower(), known)
