"""A model of the registry in a running server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from imajin_servers.diffusion import metrics
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.line import Line
from imajin_servers.diffusion.models import loading, memory
from imajin_servers.diffusion.models.card import Card
from imajin_servers.diffusion.models.loaded import Loaded
from imajin_servers.diffusion.models.peaks import Peaks, meter
from imajin_servers.diffusion.models.residency import Residency
from imajin_servers.diffusion.models.shelf import Shelf
from imajin_servers.diffusion.models.threads import Threads
from imajin_servers.diffusion.models.users import Users
from imajin_servers.diffusion.orders import LoraWeight, Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, Whole
from imajin_servers.diffusion.previews import Fit, Previewer
from imajin_servers.diffusion.settings import DiffusionSettings, ModelEntry


class Model:
    """One entry of the registry: its line, its threads, its weights, and what is known of it. Use it in the event loop."""

    def __init__(
        self, entry: ModelEntry, settings: DiffusionSettings, card: Card, device: torch.device, shelf: Shelf
    ) -> None:
        self.entry = entry
        self.settings = settings
        self.device = device
        self.adapters = {adapter.name: adapter for adapter in settings.loras}
        self.edits = loading.known_edits(entry)
        """Whether it draws from images; None while that isn't known."""
        self.schedulers = loading.known_schedulers(entry)
        """Names of those that fit; None while that isn't known."""
        self.peaks = Peaks(meter(device))
        self.fit = Fit()
        """What previews are made with, kept when the model is unloaded."""
        self.threads = Threads(entry.name, device)
        self.users = Users(entry.name)
        self.residency = Residency(entry, card, shelf, self.threads, self.users, self.driven)
        self.line = Line(settings.max_active, settings.max_queue, settings.ageing_seconds)
        line = self.line
        metrics.QUEUE.labels(entry.name).set_function(lambda: len(line.waiting))
        metrics.ACTIVE.labels(entry.name).set_function(lambda: line.taken)

    @property
    def loaded(self) -> Loaded | None:
        """The model in memory, while it is there."""
        return self.residency.loaded

    def driven(self, pipeline: Stepwise | Whole) -> Loaded:
        """`pipeline` with what drives it."""
        self.schedulers, self.edits = pipeline.schedulers, pipeline.edits
        if isinstance(pipeline, Whole):
            return Loaded(pipeline, None, None)
        engine = Engine(
            self.entry.name,
            pipeline,
            max_batch=self.settings.max_batch,
            ageing=self.settings.ageing_seconds,
            around=self.around,
        )
        return Loaded(pipeline, engine, Previewer(pipeline, self.settings.previews, self.fit))

    async def bring(self, pipeline: Stepwise | Whole, loras: Sequence[LoraWeight]) -> None:
        """Puts adapters in beside the weights. Raises NotFound where one can't be had."""

        def work() -> None:
            files = {lora.name: loading.lora_file(self.adapters[lora.name]) for lora in loras}
            pipeline.adapters.load(loras, files, self.settings.max_loras)

        await self.threads.work(self.threads.encoder, work)

    @contextmanager
    def around(self, runs: Sequence[Run]) -> Iterator[None]:
        """Takes note of a pass: its time, and the memory that it took. In the engine's thread."""
        order, loaded = runs[0].order, self.loaded
        began = time.perf_counter()
        if loaded is None:
            yield
            return
        width, height = loaded.pipeline.drawn_size(order)
        with self.peaks.denoising(width, height, len(runs) * loaded.pipeline.pass_rows(order)):
            yield
        metrics.stepped(self.entry.name, len(runs), width, height, time.perf_counter() - began)

    async def need(self, order: Order, pipeline: Stepwise | Whole) -> int:
        """Bytes that drawing `order` takes beside the weights: as measured before, else estimated."""
        width, height = pipeline.drawn_size(order)
        rows = pipeline.pass_rows(order)
        need = self.peaks.need(width, height, rows) or memory.estimate(pipeline.pipe, width, height, rows)
        if order.adapters:
            need += await asyncio.to_thread(loading.lora_bytes, [self.adapters[name] for name in order.adapters])
        return need

    async def close(self) -> None:
        """Ends everything."""
        await self.residency.close()
        await asyncio.to_thread(self.threads.close)
