"""DiffusionService: message in, domain call, message out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.diffusion import messages
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.generations import Generations
from imajin_servers.diffusion.registry import Registry
from imajin_servers.diffusion.requests import order
from imajin_servers.runtime import images

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

NAME = "imajin.diffusion.v1.DiffusionService"


class DiffusionServicer(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Generates images and lists models."""

    def __init__(self, registry: Registry, generations: Generations) -> None:
        self.registry = registry
        self.generations = generations

    async def Generate(
        self, request: diffusion_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[diffusion_pb2.GenerateResponse]:
        """One image, with progress and previews on the way."""
        wanted = order(request, self.registry)
        wish = messages.finish(request, wanted)
        feed = Feed()
        work = self.generations.start(wanted, wish, feed)
        try:
            async for event in feed.until(work):
                yield event
            made = work.result()
            encoding = messages.image_format(wish.format)
            for chunk in images.chunks(made.finished.data, encoding, wish.width, wish.height):
                yield diffusion_pb2.GenerateResponse(chunk=chunk)
            yield diffusion_pb2.GenerateResponse(result=messages.result(wanted, wish, made))
        finally:
            work.cancel()

    async def ListModels(
        self, request: diffusion_pb2.ListModelsRequest, context: Context
    ) -> diffusion_pb2.ListModelsResponse:
        """The registry, and what is loaded."""
        known = [self.generations.models[entry.name] for entry in self.registry.models]
        return diffusion_pb2.ListModelsResponse(
            models=[
                messages.model(model, model.entry is self.registry.default, self.registry.loras_of(model.entry))
                for model in known
            ]
        )
