"""Bytes on the card: peaks and estimates, a run that leaves and comes back, memory that runs out, what the driver says."""

from __future__ import annotations

import time
from typing import Any

import torch

from card.bench import Bench
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models.device import unreserved
from imajin_servers.diffusion.models.memory import estimate
from imajin_servers.diffusion.models.peaks import CudaMeter, Peaks
from imajin_servers.diffusion.orders import Order

LONG_STEP_PIXELS = 16384


def memory(bench: Bench) -> None:
    """Peaks beside the weights, against the estimate that leases ask for."""
    if not bench.scale.cuda:
        return
    weights = torch.cuda.memory_allocated()
    bench.report.row("memory", "weights", weights / 2**30, "GiB")
    for size in bench.scale.sizes:
        order = bench.order(size, 1, 2)
        with bench.engine() as engine:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            run = bench.denoised(engine, order)
            bench.sync()
            denoising = torch.cuda.max_memory_allocated() - weights
            torch.cuda.reset_peak_memory_stats()
            bench.stepwise.decode(run.latents)
            decoding = torch.cuda.max_memory_allocated() - weights
        bench.report.row("memory", f"{size} px: peak of denoising", denoising / 2**30, "GiB")
        bench.report.row("memory", f"{size} px: peak of decoding", decoding / 2**30, "GiB")
        asked = estimate(bench.pipe, *bench.stepwise.drawn_size(order), bench.stepwise.pass_rows(order))
        bench.report.row("memory", f"{size} px: estimate", asked / 2**30, "GiB")


def pause(bench: Bench) -> None:
    """Off the card in the middle and back: the same bits, and how long it takes."""
    size, steps = bench.scale.sizes[0], min(10, bench.scale.steps)
    order = bench.order(size, 3, steps)
    with bench.engine() as engine:
        undisturbed = bench.denoised(engine, order).latents
        moved: list[int] = []
        ticket = engine.submit(bench.begun(order), lambda run: moved.append(run.step))
        while len(moved) < 2:
            time.sleep(0.001)
        began = time.perf_counter()
        engine.pause()
        engine.move(torch.device("cpu"))
        bench.sync()
        away = time.perf_counter() - began
        held = torch.cuda.memory_allocated() / 2**20 if bench.scale.cuda else 0.0
        began = time.perf_counter()
        engine.move(bench.scale.device)
        bench.sync()
        back = time.perf_counter() - began
        engine.resume()
        resumed = ticket.left.result().latents
    bench.report.row("pause", "same bits after pause and resume", torch.equal(resumed, undisturbed))
    bench.report.row("pause", "off the card", away, "s")
    bench.report.row("pause", "left on the card", held, "MiB")
    bench.report.row("pause", "back on the card", back, "s")


def reserve(bench: Bench) -> None:
    """What it costs that the driver gets PyTorch's reserve back after each picture, before the lease goes back: four steps and a decode each."""
    if not bench.scale.cuda:
        return
    for size in bench.scale.sizes:
        order = bench.order(size, 1, 4)
        with bench.engine() as engine:

            def kept(order: Order = order, engine: Engine = engine) -> None:
                bench.drawn(engine, order)

            def given_back(order: Order = order, engine: Engine = engine) -> None:
                bench.drawn(engine, order)
                unreserved(bench.scale.device)

            keeps, gives = bench.timed(kept), bench.timed(given_back)
        bench.report.row("reserve", f"{size} px: given back after each picture", (gives - keeps) * 1000, "ms more")


def learned(bench: Bench) -> None:
    """What the server would learn to lease, against its first guess."""
    if not bench.scale.cuda:
        return
    peaks = Peaks(CudaMeter(bench.scale.device))
    for size in bench.scale.sizes:
        order = bench.order(size, 1, 2)
        run = bench.begun(order)
        rows = bench.stepwise.pass_rows(order)
        with peaks.denoising(size, size, rows):
            bench.stepwise.step([run])
            bench.sync()
        with peaks.decoding(size, size):
            bench.stepwise.decode(run.latents)
        bench.report.row("memory", f"{size} px: learned", (peaks.need(size, size, rows) or 0) / 2**30, "GiB")


def runs_out(bench: Bench) -> None:
    """A pass that finds no memory ends its own run with an error of its type, and leaves the others their bits."""
    size = bench.scale.sizes[0]
    order = bench.order(size, 5, min(6, bench.scale.steps))
    step = bench.stepwise.step

    def short(runs: Any) -> None:
        if any(run.order.width == LONG_STEP_PIXELS for run in runs):
            if bench.scale.cuda:
                torch.empty(1 << 50, dtype=torch.uint8, device=bench.scale.device)
            raise torch.OutOfMemoryError("nothing is left")
        step(runs)

    with bench.engine() as engine:
        undisturbed = bench.denoised(engine, order).latents
        bench.stepwise.step = short  # type: ignore[method-assign]
        try:
            beside = engine.submit(bench.begun(order), lambda run: None)
            large = bench.begun(bench.order(size, 6))
            object.__setattr__(large, "order", bench.order(LONG_STEP_PIXELS, 6))
            failed = engine.submit(large, lambda run: None).left.exception()
            latents = beside.left.result().latents
        finally:
            bench.stepwise.step = step  # type: ignore[method-assign]
    bench.report.row("memory runs out", "is a torch.OutOfMemoryError", isinstance(failed, torch.OutOfMemoryError))
    bench.report.row("memory runs out", "its neighbour keeps its bits", torch.equal(latents, undisturbed))


def driver(bench: Bench) -> None:
    """What the vram server reads of the cards, against PyTorch's own count."""
    if not bench.scale.cuda:
        return
    # Needs more than the rest does: where that is missing, this part alone fails.
    from imajin_servers.vram.devices import devices

    with devices("nvml", 0, 0) as found:
        for card, source in zip(found.cards, found.drivers, strict=True):
            bench.report.row("driver", f"{card.device_id}: in all", card.total / 2**30, "GiB")
            bench.report.row("driver", f"{card.device_id}: in use", source.used() / 2**30, "GiB")
    bench.report.row("driver", "reserved by PyTorch", torch.cuda.memory_reserved() / 2**30, "GiB")
