"""Pictures that share the card: eight at once, and steps beside decoding."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from card.bench import Bench, batch_sizes
from imajin_servers.diffusion import streams

TOGETHER = 8


def together(bench: Bench) -> None:
    """Eight pictures at once through the engine, decoded by another thread meanwhile, against one after the other by the plain pipeline."""
    for size in bench.scale.sizes:
        orders = [bench.order(size, seed) for seed in range(TOGETHER)]
        bench.sync()
        began = time.perf_counter()
        for order in orders[: max(2, TOGETHER // 4)]:
            bench.subject.plain(order, "np")
        bench.sync()
        plain = (time.perf_counter() - began) / max(2, TOGETHER // 4)
        with (
            bench.engine(max_batch=TOGETHER) as engine,
            ThreadPoolExecutor(1, initializer=streams.own, initargs=(bench.scale.device,)) as decoder,
        ):
            # Short ones first settle which batches are worth it.
            short = [bench.order(size, seed, 4) for seed in range(TOGETHER)]
            for ticket in [engine.submit(bench.begun(order), lambda run: None) for order in short]:
                ticket.left.result()
            began = time.perf_counter()
            tickets = [engine.submit(bench.begun(order), lambda run: None) for order in orders]
            pictures = [decoder.submit(decoded, bench, ticket.left) for ticket in tickets]
            for picture in pictures:
                picture.result()
            ours = (time.perf_counter() - began) / TOGETHER
            used = batch_sizes(engine)
        bench.report.row("together", f"{size} px: plain, one after the other", plain, "s an image")
        bench.report.row("together", f"{size} px: engine, {TOGETHER} at once", ours, "s an image")
        bench.report.row("together", f"{size} px: throughput against plain", plain / ours, "times")
        bench.report.row("together", f"{size} px: batch sizes used", used)


def decoded(bench: Bench, left: Any) -> Any:
    """The picture of a run, once it has left the engine."""
    return bench.stepwise.decode(left.result().latents)


def overlap(bench: Bench) -> None:
    """Steps alone, and steps while another thread decodes all the time on a stream of its own."""
    size = bench.scale.sizes[-1]
    over = threading.Event()
    with bench.engine() as engine:
        run = bench.denoised(engine, bench.order(size, 1, 4))

        def steps() -> float:
            order = bench.order(size, 2, min(12, bench.scale.steps))
            ticket = engine.submit(bench.begun(order), lambda run: None)
            ticket.left.result()
            return ticket.seconds / order.steps

        def decode() -> int:
            streams.own(bench.scale.device)
            made = 0
            while not over.is_set():
                bench.stepwise.decode(run.latents)
                made += 1
            return made

        alone = steps()
        with ThreadPoolExecutor(1) as decoder:
            work = decoder.submit(decode)
            beside = steps()
            over.set()
            made = work.result()
    bench.report.row("overlap", f"{size} px: a step alone", alone * 1000, "ms")
    bench.report.row("overlap", f"{size} px: a step beside endless decoding", beside * 1000, "ms")
    bench.report.row("overlap", f"{size} px: pictures decoded meanwhile", made)
