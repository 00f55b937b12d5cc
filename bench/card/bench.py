"""One model on one card: an engine for it, orders to draw, a clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from card.report import Report
from card.scale import Scale
from card.subjects import SUBJECTS, Subject
from imajin_servers.diffusion import streams
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run


class Bench:
    """A model, and what every part does with it."""

    def __init__(self, scale: Scale, report: Report, model: str) -> None:
        self.scale = scale
        self.report = report
        began = time.perf_counter()
        self.subject: Subject = SUBJECTS[model](scale)
        self.sync()
        self.pipe, self.stepwise = self.subject.pipe, self.subject.stepwise
        report.row("model", "built", time.perf_counter() - began, "s")
        modules = self.subject.denoiser, self.pipe.vae
        parameters = sum(part.numel() for module in modules for part in module.parameters())
        report.row("model", "parameters", parameters / 1e9, "billion")
        self.steps_alone: dict[int, float] = {}

    def sync(self) -> None:
        """Waits for the card."""
        if self.scale.cuda:
            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any], repeats: int | None = None) -> float:
        """Median seconds of `work`, after one run to warm up: kernels are chosen and compiled at the first call of a shape."""
        work()
        times = []
        for _ in range(repeats or self.scale.repeats):
            self.sync()
            began = time.perf_counter()
            work()
            self.sync()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def order(self, size: int, seed: int, steps: int | None = None) -> Order:
        """A square picture."""
        nothing: Any = None
        return Order(nothing, "", "", size, size, steps or self.scale.steps, self.subject.guidance, seed, 0, 50)

    def begun(self, order: Order) -> Run:
        """A run before its first step, all of which is on the card: the engine's stream doesn't wait for this one."""
        return streams.dry(self.scale.device, self.subject.begun, order)()

    @contextmanager
    def engine(self, max_batch: int = 1) -> Iterator[Engine]:
        """An engine for the length of a block."""
        engine = Engine("bench", self.stepwise, max_batch=max_batch, ageing=1.0)
        try:
            yield engine
        finally:
            engine.close()

    def denoised(self, engine: Engine, order: Order) -> Run:
        """A run of `order` that has left the engine."""
        return engine.submit(self.begun(order), lambda run: None).left.result()

    def drawn(self, engine: Engine, order: Order) -> Any:
        """The engine's picture."""
        return self.stepwise.decode(self.denoised(engine, order).latents)


def batch_sizes(engine: Engine) -> str:
    """How many runs passed their probes in one pass, as a cell of the table."""
    used = sorted(count for kind in engine.profile.kinds.values() for count in kind.sizes if kind.good(count))
    return ", ".join(map(str, used)) or "none"
