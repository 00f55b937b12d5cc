"""A picture alone, several in a pass, a run that is cancelled: seconds, and whether the bits stay the same."""

from __future__ import annotations

import statistics
import time

import torch

from card.bench import Bench, batch_sizes


def alone(bench: Bench, part: str = "alone") -> None:
    """Seconds an image: the plain pipeline against the engine, same process."""
    for size in bench.scale.sizes:
        order = bench.order(size, 1)
        plain = bench.timed(lambda order=order: bench.subject.plain(order, "np"))
        with bench.engine() as engine:
            ours = bench.timed(lambda order=order, engine=engine: bench.drawn(engine, order))
        bench.report.row(part, f"{size} px, {order.steps} steps, plain diffusers", plain, "s an image")
        bench.report.row(part, f"{size} px, {order.steps} steps, engine", ours, "s an image")
        bench.report.row(part, f"{size} px, engine over plain", ours / plain, "ratio")


def quick(bench: Bench, part: str) -> None:
    """Seconds an image by the plain pipeline, the largest alone."""
    order = bench.order(bench.scale.sizes[-1], 1)
    seconds = bench.timed(lambda: bench.subject.plain(order, "np"), 2)
    bench.report.row(part, f"{order.width} px, {order.steps} steps, plain diffusers", seconds, "s an image")


def same_bits(bench: Bench) -> None:
    """Latents of the engine against the plain pipeline's, and of a run among others against the run alone."""
    size = bench.scale.sizes[0]
    steps = min(8, bench.scale.steps)
    order = bench.order(size, 7, steps)
    reference = bench.subject.plain(order, "latent")
    with bench.engine() as engine:
        run = bench.denoised(engine, order)
    alone = bench.subject.latents(run)
    bench.report.row("same bits", "finite", bool(reference.isfinite().all()))
    bench.report.row("same bits", "engine alone equals plain diffusers", torch.equal(alone, reference))
    bench.report.row("same bits", "largest difference", float((alone - reference).abs().max()))
    with bench.engine(max_batch=8) as engine:
        tickets = [engine.submit(bench.begun(bench.order(size, seed, steps)), lambda run: None) for seed in range(4, 9)]
        tickets[0].cancel()
        among = bench.subject.latents(tickets[3].left.result())
        tickets[4].left.result()
        used = batch_sizes(engine)
    bench.report.row("same bits", "among others equals alone", torch.equal(among, alone))
    bench.report.row("same bits", "batch sizes that passed their probes", used)


def batches(bench: Bench) -> None:
    """A step of n runs in one pass: milliseconds a run, and whether each keeps the bits that it has alone."""
    for size in bench.scale.sizes:
        runs = [bench.begun(bench.order(size, seed)) for seed in range(max(bench.scale.batches))]
        single = 0.0
        for count in bench.scale.batches:
            chosen = runs[:count]
            with torch.inference_mode():
                seconds = bench.timed(lambda chosen=chosen: bench.stepwise.predict(chosen), 5)
                alone = [bench.stepwise.predict([run])[0] for run in chosen]
                together = bench.stepwise.predict(chosen)
            each = seconds / count
            single = single or each
            bench.steps_alone.setdefault(size, seconds)
            differences = [float((a - b).abs().max()) for a, b in zip(alone, together, strict=True)]
            part, what = "batches", f"{size} px, {count} in a pass"
            bench.report.row(part, what, each * 1000, "ms a step and run")
            bench.report.row(part, f"{what}: throughput against 1", single / each, "times")
            bench.report.row(part, f"{what}: same bits as alone", max(differences) == 0)
            bench.report.row(part, f"{what}: largest difference", max(differences))


def cancels(bench: Bench) -> None:
    """From cancel to the run having left the engine, against the time of a step."""
    size = bench.scale.sizes[-1]
    waits = []
    with bench.engine() as engine:
        for number in range(20):
            moved = []
            ticket = engine.submit(
                bench.begun(bench.order(size, number, 150)), lambda run, moved=moved: moved.append(1)
            )
            while len(moved) < 2:
                time.sleep(0.001)
            began = time.perf_counter()
            ticket.cancel()
            ticket.left.exception()
            bench.sync()
            waits.append(time.perf_counter() - began)
    bench.report.row("cancel", f"{size} px: median", statistics.median(waits) * 1000, "ms")
    bench.report.row("cancel", f"{size} px: worst of 20", max(waits) * 1000, "ms")
    if size in bench.steps_alone:
        bench.report.row("cancel", f"{size} px: a step", bench.steps_alone[size] * 1000, "ms")
