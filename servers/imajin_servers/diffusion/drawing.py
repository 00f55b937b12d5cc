"""One order drawn with a loaded model: encode, denoise, decode."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import torch

from imajin_servers.diffusion import metrics
from imajin_servers.diffusion.feed import Feed
from imajin_servers.diffusion.models.device import reserved_bytes
from imajin_servers.diffusion.models.loaded import Loaded
from imajin_servers.diffusion.models.model import Model
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, Whole
from imajin_servers.diffusion.pipelines.run import Known, Shown
from imajin_servers.diffusion.previews import Previewer, jpeg
from imajin_servers.diffusion.settled import settled
from imajin_servers.diffusion.sources import Pixels, Source
from imajin_servers.runtime.errors import Cancelled, ContentRejected, ImajinError, InvalidArgument

log = structlog.get_logger()


@dataclass
class Timings:
    """Where the time went, in milliseconds."""

    queued: float = 0.0
    waiting_for_vram: float = 0.0
    loading: float = 0.0
    encoding: float = 0.0
    denoising: float = 0.0
    decoding: float = 0.0
    finishing: float = 0.0

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Adds the time of a block to `phase`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, phase, getattr(self, phase) + (time.perf_counter() - began) * 1000)


@dataclass(frozen=True)
class Drawn:
    """A picture in the size that was drawn."""

    pixels: Pixels
    steps: int
    """Of the denoiser, as people count them, that it took."""


async def draw(order: Order, model: Model, loaded: Loaded, feed: Feed, timings: Timings) -> Drawn:
    """The picture of `order` in the drawn size. Leaves nothing running behind when cancelled."""
    with loaded.pipeline.adapters.kept(order.loras):
        if order.loras:
            with timings.of("loading"):
                await model.bring(loaded.pipeline, order.loras)
        if isinstance(loaded.pipeline, Whole):
            return await draw_whole(order, model, loaded.pipeline, feed, timings)
        return await draw_stepwise(order, model, loaded, loaded.pipeline, feed, timings)


async def draw_stepwise(
    order: Order, model: Model, loaded: Loaded, pipeline: Stepwise, feed: Feed, timings: Timings
) -> Drawn:
    """Through the engine, which it shares with others."""
    engine = loaded.engine
    assert engine is not None
    feed.encoding()
    with timings.of("encoding"):
        known = None
        if order.source is not None:
            known = await model.threads.work(model.threads.decoder, recognised, pipeline, order, order.source)
        run = await model.threads.work(model.threads.encoder, begun, pipeline, order, known)
    feed.denoising(0, run.planned)
    previews = Previews(order, pipeline, loaded.previewer, model, feed)
    loop = asyncio.get_running_loop()
    told = 0

    def on_step(run: Run) -> None:
        nonlocal told
        if run.made == told:
            # Some schedulers ask the denoiser twice a step.
            return
        if not told:
            tell_used(model, loop)
        told = run.made
        loop.call_soon_threadsafe(feed.denoising, run.made, run.planned)
        previews.offer(run)

    with timings.of("denoising"), previews:
        ticket = engine.submit(run, on_step)
        model.users.denoises(feed, ticket.cancel)
        try:
            run = await settled(asyncio.wrap_future(ticket.left), ticket.cancel)
        finally:
            model.users.denoised(feed)
    feed.decoding()

    def decode() -> Pixels:
        with model.peaks.decoding(*pipeline.drawn_size(order)):
            return decoded(pipeline, run)

    with timings.of("decoding"):
        pixels = await model.threads.work(model.threads.decoder, decode)
    await previews.at_least_one()
    return Drawn(pixels, run.planned)


def tell_used(model: Model, loop: asyncio.AbstractEventLoop) -> None:
    """Tells the vram server what is in use by now. In a thread that draws."""
    loop.call_soon_threadsafe(model.residency.card.usage.tell, reserved_bytes(model.device))


def recognised(pipeline: Stepwise, order: Order, source: Source) -> Known:
    """The source of `order` as latents."""
    generator = torch.Generator("cpu").manual_seed(order.seed)
    return pipeline.know(source.on_canvas(*pipeline.drawn_size(order)), generator)


def begun(pipeline: Stepwise, order: Order, known: Known | None) -> Run:
    """The run of `order` before its first step."""
    return pipeline.start(order, pipeline.encode(order), known)


def decoded(pipeline: Stepwise, run: Run) -> Pixels:
    """The picture of a run that is done. Raises ContentRejected where the model ships a safety checker that says so."""
    pixels = pipeline.decode(run.latents, run.generator)
    if run.order.source is not None:
        pixels = run.order.source.finished(pixels, pipeline.cell // 2)
    if not pipeline.safe(pixels):
        raise ContentRejected(
            "the image was refused by the model's safety checker", metadata={"stage": "image", "category": "nsfw"}
        )
    return pixels


async def draw_whole(order: Order, model: Model, pipeline: Whole, feed: Feed, timings: Timings) -> Drawn:
    """In one piece, one at a time; it can be stopped and paused where none of its networks is at work."""
    if order.source is not None:
        raise InvalidArgument.field("model", "draws from prompts only, not from images")
    loop = asyncio.get_running_loop()
    stops: list[ImajinError] = []

    def on_step(step: int) -> None:
        if step == 1:
            tell_used(model, loop)
        loop.call_soon_threadsafe(feed.denoising, step, order.steps)

    def rest() -> None:
        kept = None
        if not model.threads.open.is_set():
            kept = pipeline.aside()
            model.threads.stand(loop, lambda: stops)
        if stops:
            raise stops[0]
        if kept is not None:
            kept.back()

    def stop() -> None:
        stops.append(Cancelled("the generation was cancelled"))

    model.users.denoises(feed, stops.append)

    def work() -> Pixels:
        with model.peaks.drawing(*pipeline.drawn_size(order), pipeline.pass_rows(order)):
            return pipeline.draw(order, on_step, rest)

    with timings.of("denoising"):
        pixels = await model.threads.work(model.threads.encoder, work, stop=stop)
    return Drawn(pixels, order.steps)


class Previews:
    """Previews of one generation: one in the making and the latest that waits; the denoiser never does."""

    def __init__(self, order: Order, pipeline: Stepwise, previewer: Previewer | None, model: Model, feed: Feed) -> None:
        self.pipeline = pipeline
        self.interval = order.preview_interval if previewer is not None else 0
        self.previewer = previewer
        self.model = model
        self.feed = feed
        self.loop = asyncio.get_running_loop()
        self.waiting: Shown | None = None
        self.making: asyncio.Future[tuple[bytes, int, int]] | None = None
        self.sent = 0
        self.over = False

    def __enter__(self) -> None:
        """Previews are made from here on."""

    def __exit__(self, *_: object) -> None:
        """After the last step no preview is begun, but the first."""
        self.over = True

    async def at_least_one(self) -> None:
        """Waits for the first preview, where a short run was quicker: who asks for previews gets one."""
        if not self.sent and self.making is not None:
            await asyncio.wait({self.making})

    def offer(self, run: Run) -> None:
        """Takes the state of `run` for a preview, where one is due. In the engine's thread."""
        if not self.interval or run.made % self.interval or run.done:
            return
        # Tensors of a run are replaced, never changed: no copy is needed.
        if self.waiting is not None:
            self.count("dropped")
        self.waiting = Shown(run.latents if run.clean is None else run.clean, run.made)
        self.pipeline.states.add(self.waiting)
        self.loop.call_soon_threadsafe(self.begin)

    def begin(self) -> None:
        """Makes the waiting preview, unless one is in the making. In the event loop."""
        if self.making is not None or self.waiting is None:
            return
        if self.over and self.sent:
            self.waiting = None
            self.count("dropped")
            return
        shown, self.waiting = self.waiting, None
        work = self.model.threads.work(self.model.threads.previews, self.make, shown)
        self.making = asyncio.ensure_future(work)
        self.making.add_done_callback(lambda made: self.made(made, shown.step))

    def count(self, outcome: str) -> None:
        """Counts what became of a preview."""
        metrics.PREVIEWS.labels(self.model.entry.name, outcome).inc()

    def make(self, shown: Shown) -> tuple[bytes, int, int]:
        """JPEG, width and height. In the previews' thread."""
        assert self.previewer is not None
        image = self.previewer.picture(shown.latents)
        return jpeg(image), image.width, image.height

    def made(self, made: asyncio.Future[tuple[bytes, int, int]], step: int) -> None:
        """Sends a preview, and begins the next. In the event loop."""
        self.making = None
        if made.cancelled():
            return
        if (error := made.exception()) is not None:
            log.warning("a preview failed", exc_info=error)
            self.count("failed")
            return
        self.sent += 1
        self.count("made")
        self.feed.preview(*made.result(), step)
        self.begin()
