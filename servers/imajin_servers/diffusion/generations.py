"""The whole way of an order: moderation, the line, room on the card, drawing, finishing."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

import torch

from imajin_servers.diffusion import metrics
from imajin_servers.diffusion.drawing import Drawn, Timings, draw
from imajin_servers.diffusion.emptied import emptied
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.finishing import Finish, Finished, check, finish
from imajin_servers.diffusion.models.device import free_bytes, swept
from imajin_servers.diffusion.models.model import Model
from imajin_servers.diffusion.moderation import Images, Prompts
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import schedulers
from imajin_servers.diffusion.settled import settled
from imajin_servers.diffusion.sources import Pixels
from imajin_servers.runtime.credentials.sealing import Seal
from imajin_servers.runtime.errors import GpuOutOfMemory, InvalidArgument


@dataclass(frozen=True)
class Made:
    """A finished image, and where the time went."""

    finished: Finished
    timings: Timings
    steps: int
    """Of the denoiser, that were made."""
    prompt_level: str
    """Of the rules that the prompt passed."""


class Generations:
    """Carries orders out. Use it in the event loop."""

    def __init__(self, models: dict[str, Model], prompts: Prompts, images: Images, seal: Seal) -> None:
        self.models = models
        self.prompts = prompts
        self.images = images
        self.seal = seal
        self.finishers = ThreadPoolExecutor(max(1, min(4, (os.cpu_count() or 2) - 1)), "finishing")
        self.running: set[asyncio.Task[Made]] = set()

    def start(self, order: Order, wish: Finish, feed: Feed) -> asyncio.Task[Made]:
        """Begins in the background. Cancelling the task stops the denoising before its next step; cleaning up goes on by itself."""
        task = asyncio.create_task(self.carry_out(order, wish, feed))
        self.running.add(task)
        task.add_done_callback(self.ended)
        return task

    def ended(self, task: asyncio.Task[Made]) -> None:
        """Forgets a task; whoever started it may be gone and never look at its error."""
        self.running.discard(task)
        if not task.cancelled():
            task.exception()

    async def carry_out(self, order: Order, wish: Finish, feed: Feed) -> Made:
        """The image of `order`. Raises ContentRejected, InvalidArgument, QueueFull, GpuOutOfMemory and what leases raise."""
        self.prompts.check(order.prompt)
        if wish.text_overlay is not None or wish.watermark is not None:
            await asyncio.to_thread(check, wish)
        model = self.models[order.model.name]
        if model.schedulers is not None:
            schedulers.check(order.scheduler, model.schedulers)
        if order.source is not None and model.edits is False:
            raise InvalidArgument.field("model", f"{model.entry.name} draws from prompts only, not from images")
        timings = Timings()
        feed.queued(len(model.line.waiting) + 1)
        with metrics.generation(order.model.name, timings):
            return await self.in_turn(order, wish, feed, model, timings)

    async def in_turn(self, order: Order, wish: Finish, feed: Feed, model: Model, timings: Timings) -> Made:
        """The image of `order`, once it has a place."""
        async with AsyncExitStack() as held:
            with timings.of("queued"):
                await held.enter_async_context(model.line.place(order.priority, feed.queued))
            drawn = await self.drawn(order, model, feed, timings)
            with timings.of("finishing"):
                finished = await self.finished(drawn.pixels, wish, feed)
        return Made(finished, timings, drawn.steps, self.prompts.level)

    async def drawn(self, order: Order, model: Model, feed: Feed, timings: Timings) -> Drawn:
        """The picture. Raises GpuOutOfMemory, from the lease or from the card itself."""
        async with AsyncExitStack() as held:
            try:
                return await self.drawn_in_room(order, model, feed, timings, held)
            except BaseException as error:
                # Here, where no variable is the model: the frames under the error hold it, unloaded or not.
                emptied(error)
                raise

    async def drawn_in_room(
        self, order: Order, model: Model, feed: Feed, timings: Timings, held: AsyncExitStack
    ) -> Drawn:
        """The picture, drawn in the model and the room that `held` lets go of."""
        with timings.of("loading"):
            loaded = await held.enter_async_context(model.residency.in_use(feed, order.priority))
        need = await model.need(order, loaded.pipeline)

        with timings.of("waiting_for_vram"):
            await held.enter_async_context(model.residency.rooms.room(need, order.priority, feed.waiting_for_vram))
        # It may have been unloaded while this one waited for room.
        loaded = await model.residency.ready(order.priority)
        try:
            return await draw(order, model, loaded, feed, timings)
        except torch.OutOfMemoryError as error:
            emptied(error)
            await asyncio.to_thread(swept, model.device)
            raise GpuOutOfMemory.of(need, free_bytes(model.device) or 0) from error

    async def finished(self, pixels: Pixels, wish: Finish, feed: Feed) -> Finished:
        """The encoded image."""
        loop = asyncio.get_running_loop()

        def tell(operation: str) -> None:
            loop.call_soon_threadsafe(feed.finishing, operation)

        return await settled(loop.run_in_executor(self.finishers, finish, pixels, wish, self.images, self.seal, tell))

    async def close(self) -> None:
        """Cancels what runs, waits for it, unloads the models."""
        for task in self.running:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running)
        for model in self.models.values():
            await model.close()
        self.finishers.shutdown(wait=True)
