"""Parts of bench/gpu.py beyond drawing alone: company, speed settings, what is lossy, restarts, loading, the driver, memory that runs out."""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imajin_servers.diffusion import streams
from imajin_servers.diffusion.models.peaks import CudaMeter, Peaks
from imajin_servers.diffusion.models.speed import hasten, misfit
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run

if TYPE_CHECKING:
    from gpu import Bench

TOGETHER = 8
LONG_STEP_PIXELS = 16384


STEP_CACHES = (0.05, 0.1, 0.2)
"""Thresholds of the step cache, from careful to bold."""


def entry(**speed: float) -> Any:
    """The part of a model's settings that is about its speed."""
    nothing = dict.fromkeys(("channels_last", "fuse_projections", "compile_blocks", "fp8_weights", "step_cache"), False)
    return SimpleNamespace(**{"name": "bench", **nothing, **speed})


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
            for ticket in [engine.submit(bench.subject.begun(order), lambda run: None) for order in short]:
                ticket.left.result()
            began = time.perf_counter()
            tickets = [engine.submit(bench.subject.begun(order), lambda run: None) for order in orders]
            pictures = [decoder.submit(decoded, bench, ticket.left) for ticket in tickets]
            for picture in pictures:
                picture.result()
            ours = (time.perf_counter() - began) / TOGETHER
            used = sorted(count for kind in engine.profile.kinds.values() for count in kind.sizes if kind.good(count))
        bench.report.row("together", f"{size} px: plain, one after the other", plain, "s an image")
        bench.report.row("together", f"{size} px: engine, {TOGETHER} at once", ours, "s an image")
        bench.report.row("together", f"{size} px: throughput against plain", plain / ours, "times")
        bench.report.row("together", f"{size} px: batch sizes used", ", ".join(map(str, used)) or "none")


def decoded(bench: Bench, left: Any) -> Any:
    """The picture of a run, once it has left the engine."""
    return bench.stepwise.decode(left.result().latents)


def overlap(bench: Bench) -> None:
    """Steps alone, and steps while another thread decodes all the time on a stream of its own."""
    size = bench.scale.sizes[-1]
    over = threading.Event()
    with bench.engine() as engine:
        run = engine.submit(bench.subject.begun(bench.order(size, 1, 4)), lambda run: None).left.result()

        def steps() -> float:
            order = bench.order(size, 2, min(12, bench.scale.steps))
            ticket = engine.submit(bench.subject.begun(order), lambda run: None)
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


def runs_out(bench: Bench) -> None:
    """A pass that finds no memory ends its own run with an error of its type, and leaves the others their bits."""
    size = bench.scale.sizes[0]
    order = bench.order(size, 5, min(6, bench.scale.steps))
    cuda = bench.scale.device.type == "cuda"
    step = bench.stepwise.step

    def short(runs: Any) -> None:
        if any(run.order.width == LONG_STEP_PIXELS for run in runs):
            if cuda:
                torch.empty(1 << 50, dtype=torch.uint8, device=bench.scale.device)
            raise torch.OutOfMemoryError("nothing is left")
        step(runs)

    with bench.engine() as engine:
        undisturbed = engine.submit(bench.subject.begun(order), lambda run: None).left.result().latents
        bench.stepwise.step = short  # type: ignore[method-assign]
        try:
            beside = engine.submit(bench.subject.begun(order), lambda run: None)
            large = bench.subject.begun(bench.order(size, 6))
            object.__setattr__(large, "order", bench.order(LONG_STEP_PIXELS, 6))
            failed = engine.submit(large, lambda run: None).left.exception()
            latents = beside.left.result().latents
        finally:
            bench.stepwise.step = step  # type: ignore[method-assign]
    bench.report.row("memory runs out", "is a torch.OutOfMemoryError", isinstance(failed, torch.OutOfMemoryError))
    bench.report.row("memory runs out", "its neighbour keeps its bits", torch.equal(latents, undisturbed))


def learned(bench: Bench) -> None:
    """What the server would learn to lease, against its first guess."""
    if bench.scale.device.type != "cuda":
        return
    peaks = Peaks(CudaMeter(bench.scale.device))
    for size in bench.scale.sizes:
        order = bench.order(size, 1, 2)
        run = bench.subject.begun(order)
        rows = bench.stepwise.pass_rows(order)
        with peaks.denoising(size, size, rows):
            bench.stepwise.step([run])
            bench.sync()
        with peaks.decoding(size, size):
            bench.stepwise.decode(run.latents)
        bench.report.row("memory", f"{size} px: learned", (peaks.need(size, size, rows) or 0) / 2**30, "GiB")


def graphs(bench: Bench) -> None:
    """One pass of the denoiser, its kernels launched one by one and replayed from a CUDA graph: the same kernels, so the same bits."""
    if bench.scale.device.type != "cuda":
        bench.report.row("graphs", "left out", "CUDA alone has them")
        return
    for size in bench.scale.sizes:
        run: Run = bench.subject.begun(bench.order(size, 1))
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
        began = time.perf_counter()
        hasten(bench.pipe, speed, "inductor" if bench.scale.device.type == "cuda" else "eager")
        picture = bench.subject.plain(order, "np")
        bench.sync()
        bench.report.row(name, "first picture", time.perf_counter() - began, "s")
        bench.report.row(name, "PSNR against none of it", decibels(picture, reference), "dB")
        measure = bench.alone if (what, speed) == steps[-1] else bench.quick
        measure(name)


def restart(bench: Bench) -> None:
    """Compiling again with what the first time left on the disk, as a server that starts again does."""
    if not bench.scale.compiles:
        return
    torch._dynamo.reset()
    hasten(bench.pipe, entry(compile_blocks=True), "inductor" if bench.scale.device.type == "cuda" else "eager")
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
    before = bench.subject.denoiser.get_memory_footprint()
    hasten(bench.pipe, entry(fp8_weights=True))
    picture = bench.subject.plain(order, "np")
    saved = before - bench.subject.denoiser.get_memory_footprint()
    bench.report.row("lossy: fp8 weights", "PSNR against lossless", decibels(picture, reference), "dB")
    bench.report.row("lossy: fp8 weights", "saved", saved / 2**30, "GiB")
    bench.quick("lossy: fp8 weights")


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


def clocked(bench: Bench, order: Order) -> tuple[Any, float]:
    """The plain pipeline's picture, and the seconds that it took."""
    bench.sync()
    began = time.perf_counter()
    picture = bench.subject.plain(order, "np")
    bench.sync()
    return picture, time.perf_counter() - began


def loading(bench: Bench) -> None:
    """From files to the card by the server's code, against the same bytes from pinned memory."""
    from imajin_servers.diffusion.models import loading as server

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        bench.subject.denoiser.save_pretrained(path / "denoiser")
        kind = type(bench.subject.denoiser).__name__
        size = sum(file.stat().st_size for file in path.rglob("*.safetensors"))
        for name in ("first", "second"):
            gc.collect()
            began = time.perf_counter()
            made = server.component(path / "denoiser", "diffusers", kind, bench.scale.dtype, None, bench.scale.device)
            bench.sync()
            seconds = time.perf_counter() - began
            del made
            bench.report.row("loading", f"{name} time: {size / 2**30:.2f} GiB", seconds, "s")
    if bench.scale.device.type == "cuda":
        piece = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
        place = torch.empty_like(piece, device=bench.scale.device)
        one = bench.timed(lambda: place.copy_(piece, non_blocking=True), 10)
        bench.report.row("loading", "the bus alone", one * size / (1 << 28), "s")


def driver(bench: Bench) -> None:
    """What the vram server reads of the cards, against PyTorch's own count."""
    if bench.scale.device.type != "cuda":
        return
    from imajin_servers.vram.devices import devices

    with devices("nvml", 0, 0) as found:
        for card, source in zip(found.cards, found.drivers, strict=True):
            bench.report.row("driver", f"{card.device_id}: in all", card.total / 2**30, "GiB")
            bench.report.row("driver", f"{card.device_id}: in use", source.used() / 2**30, "GiB")
    bench.report.row("driver", "reserved by PyTorch", torch.cuda.memory_reserved() / 2**30, "GiB")


def decibels(picture: Any, reference: Any) -> float:
    """Peak signal to noise of two pictures, arrays from 0 to 1; infinite where they are equal."""
    error = float(np.square(np.asarray(picture, float) - np.asarray(reference, float)).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(1 / error))
