"""DiffusionService: message in, domain call, message out."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc

from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.diffusion import messages
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.finishing import Finish
from imajin_servers.diffusion.generations import Generations
from imajin_servers.diffusion.models.registry import Registry
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.requests import check_edit, edit, order
from imajin_servers.diffusion.uploads import Uploads
from imajin_servers.runtime import images
from imajin_servers.runtime.uploads import receive

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

NAME = "imajin.diffusion.v1.DiffusionService"


def deadline(context: Context) -> float | None:
    """Until when the caller waits, in seconds of the monotonic clock."""
    left = context.time_remaining()
    return None if left is None else time.monotonic() + left


class DiffusionServicer(diffusion_pb2_grpc.DiffusionServiceServicer):
    """Generates images and lists models."""

    def __init__(self, registry: Registry, generations: Generations, uploads: Uploads) -> None:
        self.uploads = uploads
        self.registry = registry
        self.generations = generations

    async def Generate(
        self, request: diffusion_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[diffusion_pb2.GenerateResponse]:
        """One image, with progress and previews on the way."""
        wanted = replace(order(request, self.registry), deadline=deadline(context))
        async with aclosing(self.drawn(wanted, messages.finish(request, wanted))) as events:
            async for event in events:
                yield event

    async def Edit(
        self, request_iterator: AsyncIterator[diffusion_pb2.EditRequest], context: Context
    ) -> AsyncIterator[diffusion_pb2.EditResponse]:
        """One image from another, with progress and previews on the way."""
        with self.uploads.reserve() as reserve:

            def check(spec: diffusion_pb2.EditSpec) -> None:
                check_edit(spec, self.registry)

            upload = await receive(request_iterator, check, self.uploads.bounds, reserve.hold)
            spec, image = upload.spec, upload.image
            # The file is held by this alone, and not for as long as the drawing takes.
            del upload
            source = await self.uploads.source(edit(spec, self.registry), image)
            del image
            spec.ClearField("image_data")
            reserve.keep(source.bytes)
            wanted = replace(order(spec, self.registry, source.size), source=source, deadline=deadline(context))
            async with aclosing(self.drawn(wanted, messages.finish(spec, wanted))) as events:
                async for event in events:
                    yield messages.edited(event)

    async def drawn(self, wanted: Order, wish: Finish) -> AsyncGenerator[diffusion_pb2.GenerateResponse, None]:
        """What is heard of a drawing, its image and what it is. Closing it ends the work."""
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
                messages.model(
                    model, self.registry.loras_of(model.entry), is_default=model.entry is self.registry.default
                )
                for model in known
            ]
        )
