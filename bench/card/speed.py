"""Settings that make a model faster: lossless ones, CUDA graphs, compiling again, and what changes pictures."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from card.bench import Bench
from card.drawing import alone, quick
from imajin_servers.diffusion.models.speed import hasten, misfit
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run

STEP_CACHES = (0.05, 0.1, 0.2)
"""Thresholds of the step cache, from careful to bold."""
FORECASTS = (2, 3, 5)
"""Every which step is not forecast."""


def graphs(bench: Bench) -> None:
    """One pass of the denoiser, its kernels launched one by one and replayed from a CUDA graph: the same kernels, so the same bits."""
    if not bench.scale.cuda:
        bench.report.row("graphs", "left out", "CUDA alone has them")
        return
    for size in bench.scale.sizes:
        run: Run = bench.begun(bench.order(size, 1))
        with torch.inference_mode():
            plain = bench.timed(lambda run=run: bench.stepwise.predict([run]), 10)
            reference = bench.stepwise.predict([run])[0].clone()
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(3):
                    bench.stepwise.predict([run])
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                answer = bench.stepwise.predict([run])[0]
            replayed = bench.timed(graph.replay, 10)
            same = torch.equal(answer, reference)
        bench.report.row("graphs", f"{size} px: a pass, launched", plain * 1000, "ms")
        bench.report.row("graphs", f"{size} px: a pass, replayed", replayed * 1000, "ms")
        bench.report.row("graphs", f"{size} px: same bits", same)
        del graph, answer


def settings(bench: Bench) -> None:
    """The lossless settings of the server, one on top of the other, and how far pictures move by them."""
    order = bench.order(bench.scale.sizes[-1], 1)
    reference = bench.subject.plain(order, "np")
    steps = [("channels last", entry(channels_last=True)), ("fused projections", entry(fuse_projections=True))]
    if bench.scale.compiles:
        steps.append(("compiled blocks", entry(compile_blocks=True)))
    name = ""
    for what, speed in steps:
        name = f"{name}, {what}" if name else what
        bench.sync()
        began = time.perf_counter()
        hasten(bench.pipe, speed, "inductor" if bench.scale.cuda else "eager")
        picture = bench.subject.plain(order, "np")
        bench.sync()
        bench.report.row(name, "first picture", time.perf_counter() - began, "s")
        bench.report.row(name, "PSNR against none of it", decibels(picture, reference), "dB")
        measure = alone if (what, speed) == steps[-1] else quick
        measure(bench, name)


def restart(bench: Bench) -> None:
    """Compiling again with what the first time left on the disk, as a server that starts again does."""
    if not bench.scale.compiles:
        return
    torch._dynamo.reset()
    hasten(bench.pipe, entry(compile_blocks=True), "inductor" if bench.scale.cuda else "eager")
    for size in bench.scale.sizes:
        began = time.perf_counter()
        bench.subject.plain(bench.order(size, 1, 2), "latent")
        bench.sync()
        bench.report.row("restart", f"{size} px: two steps, compiled before", time.perf_counter() - began, "s")


def lossy(bench: Bench) -> None:
    """What changes pictures: steps that are left out, and weights in 8 bits, neither with compiled blocks. Last, because these stay."""
    torch._dynamo.reset()
    for module in bench.subject.denoiser.modules():
        module._compiled_call_impl = None
    order = bench.order(bench.scale.sizes[-1], 1)
    reference = bench.subject.plain(order, "np")
    step_caches(bench, order, reference)
    forecasts(bench, order, reference)
    before = bench.subject.denoiser.get_memory_footprint()
    bench.sync()
    hasten(bench.pipe, entry(fp8_weights=True))
    picture = bench.subject.plain(order, "np")
    saved = before - bench.subject.denoiser.get_memory_footprint()
    bench.report.row("lossy: fp8 weights", "PSNR against lossless", decibels(picture, reference), "dB")
    bench.report.row("lossy: fp8 weights", "saved", saved / 2**30, "GiB")
    quick(bench, "lossy: fp8 weights")


def step_caches(bench: Bench, order: Order, reference: Any) -> None:
    """The step cache at each threshold, against the same picture without, by the same pipeline. Random weights decide by chance."""
    if reason := misfit(entry(step_cache=STEP_CACHES[0]), type(bench.pipe).__name__):
        bench.report.row("lossy: step cache", "left out", reason)
        return
    _, seconds = clocked(bench, order)
    bench.report.row("lossy: none of it", f"{order.width} px, {order.steps} steps", seconds, "s an image")
    denoiser = bench.subject.denoiser
    # The block after the first is asked as often as all that follow.
    second = [block for blocks in denoiser.children() if isinstance(blocks, torch.nn.ModuleList) for block in blocks][1]
    for threshold in STEP_CACHES:
        part = f"lossy: step cache {threshold}"
        hasten(bench.pipe, entry(step_cache=threshold))
        asked: list[int] = []
        mark = next(second.children()).register_forward_pre_hook(lambda *_, asked=asked: asked.append(1))
        picture, seconds = clocked(bench, order)
        mark.remove()
        bench.report.row(part, f"{order.width} px, {order.steps} steps", seconds, "s an image")
        bench.report.row(part, "PSNR against lossless", decibels(picture, reference), "dB")
        bench.report.row(part, "steps computed whole", len(asked), f"of {order.steps}")
        denoiser.disable_cache()


def forecasts(bench: Bench, order: Order, reference: Any) -> None:
    """The forecast at each distance, as `step_caches`."""
    if reason := misfit(entry(step_forecast=FORECASTS[0]), type(bench.pipe).__name__):
        bench.report.row("lossy: forecast", "left out", reason)
        return
    for distance in FORECASTS:
        part = f"lossy: forecast {distance}"
        hasten(bench.pipe, entry(step_forecast=distance))
        picture, seconds = clocked(bench, order)
        bench.report.row(part, f"{order.width} px, {order.steps} steps", seconds, "s an image")
        bench.report.row(part, "PSNR against lossless", decibels(picture, reference), "dB")
        bench.subject.denoiser.disable_cache()


def entry(**speed: float) -> Any:
    """The part of a model's settings that is about its speed."""
    names = ("channels_last", "fuse_projections", "compile_blocks", "fp8_weights", "step_cache", "step_forecast")
    nothing = dict.fromkeys(names, False)
    return SimpleNamespace(**{"name": "bench", **nothing, **speed})


def clocked(bench: Bench, order: Order) -> tuple[Any, float]:
    """The plain pipeline's picture, and the seconds that it took."""
    bench.sync()
    began = time.perf_counter()
    picture = bench.subject.plain(order, "np")
    bench.sync()
    return picture, time.perf_counter() - began


def decibels(picture: Any, reference: Any) -> float:
    """Peak signal to noise of two pictures, arrays from 0 to 1; infinite where they are equal."""
    error = float(np.square(np.asarray(picture, float) - np.asarray(reference, float)).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(1 / error))
