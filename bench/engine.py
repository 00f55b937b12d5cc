"""The step engine against the plain diffusers pipeline, on the model that ships: the same pictures both ways, in turn, on one thread.

`python bench/engine.py` writes bench/results/engine.{json,md}. Times are CPU seconds of this process, least of the rounds: other work on the
machine makes them longer, never shorter. IMAJIN_BENCH_ROUNDS sets the rounds.
"""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import grpc
import numpy as np
import torch
from PIL import Image

from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.diffusion.build import build
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, wrap
from imajin_servers.diffusion.previews import Previewer, jpeg
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.diffusion.sources import Pixels
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import OPTIONS, Lifetime
from results import Cell, write

ROUNDS = int(os.environ.get("IMAJIN_BENCH_ROUNDS", "3"))
TOGETHER = 8
MODEL = registry.embedded()


def order(seed: int) -> Order:
    """A picture in the model's own size."""
    width, height = MODEL.base_sizes[0]
    return Order(
        MODEL,
        "a happy panda eating watermelon",
        "",
        width,
        height,
        MODEL.default_steps,
        MODEL.default_guidance_scale,
        seed,
        0,
        50,
    )


def least(*ways: Callable[[], object]) -> list[float]:
    """CPU seconds of each way, least of the rounds, the ways in turn; a first round isn't counted."""
    times: list[list[float]] = [[] for _ in ways]
    for number in range(ROUNDS + 1):
        for way, seen in zip(ways, times, strict=True):
            began = time.process_time()
            way()
            if number:
                seen.append(time.process_time() - began)
    return [min(seen) for seen in times]


class Ways:
    """The same orders by the plain pipeline and by the engine."""

    def __init__(self) -> None:
        self.pipe = loading.load(MODEL, loading.directory(MODEL), torch.device("cpu"), lambda loaded, total: None)
        stepwise = wrap(self.pipe)
        assert isinstance(stepwise, Stepwise)
        self.stepwise = stepwise
        self.single = Engine("single", stepwise, max_batch=1, ageing=1.0)
        self.batching = Engine("batching", stepwise, max_batch=TOGETHER, ageing=1.0)
        self.projecting, self.decoding = Previewer(stepwise), Previewer(stepwise, "autoencoder")
        self.painter = ThreadPoolExecutor(1)

    def plain(self, seed: int = 1) -> Pixels:
        """By the plain pipeline."""
        wanted = order(seed)
        made = self.pipe(
            wanted.prompt,
            width=wanted.width,
            height=wanted.height,
            num_inference_steps=wanted.steps,
            guidance_scale=wanted.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
        )
        return np.asarray(made.images[0])

    def begun(self, seed: int) -> Run:
        """A run before its first step."""
        wanted = order(seed)
        return self.stepwise.start(wanted, self.stepwise.encode(wanted))

    def engine(self, seed: int = 1, on_step: Callable[[Run], None] = lambda run: None) -> Pixels:
        """By the engine, alone."""
        return self.stepwise.decode(self.single.submit(self.begun(seed), on_step).left.result().latents)

    def engine_with_previews(self, previewer: Previewer) -> None:
        """By the engine, with a preview every four steps made by another thread."""
        made = []

        def on_step(run: Run) -> None:
            if run.step % 4 == 0 and run.clean is not None:
                latents = run.clean
                made.append(self.painter.submit(lambda: jpeg(previewer.picture(latents))))

        self.engine(1, on_step)
        for preview in made:
            preview.result()

    def decibels(self) -> float:
        """How close previews by projection come to the decoder's pictures in their size: mean over some things of its vocabulary."""
        found = []
        for seed, thing in enumerate(("a red apple", "a happy panda", "a house", "a star", "a car", "a penguin")):
            wanted = replace(order(seed), prompt=thing)
            run = self.stepwise.start(wanted, self.stepwise.encode(wanted))
            latents = self.single.submit(run, lambda run: None).left.result().latents
            preview = self.projecting.picture(latents)
            picture = Image.fromarray(self.stepwise.decode(latents)).resize(preview.size, Image.Resampling.BOX)
            found.append(float(np.square(np.asarray(preview, float) - np.asarray(picture, float)).mean()))
        return statistics.mean(10 * math.log10(255**2 / error) for error in found)

    def one_by_one(self) -> list[Pixels]:
        """Eight by the plain pipeline."""
        return [self.plain(seed) for seed in range(TOGETHER)]

    def at_once(self) -> list[Pixels]:
        """Eight in the engine at the same time."""
        tickets = [self.batching.submit(self.begun(seed), lambda run: None) for seed in range(TOGETHER)]
        return [self.stepwise.decode(ticket.left.result().latents) for ticket in tickets]

    def step_of(self, count: int) -> Callable[[], None]:
        """One step of `count` runs in one pass."""
        runs = [self.begun(seed) for seed in range(count)]

        def step() -> None:
            with torch.inference_mode():
                self.stepwise.predict(runs)

        return step

    def cancel_waits(self) -> list[float]:
        """Wall seconds from cancel to the run having left, in the middle of steps."""
        waits = []
        for seed in range(20):
            moved: list[int] = []
            ticket = self.single.submit(self.begun(seed), lambda run, moved=moved: moved.append(run.step))
            while not moved:
                time.sleep(0.001)
            began = time.perf_counter()
            ticket.cancel()
            ticket.left.exception()
            waits.append(time.perf_counter() - began)
        return waits


async def through_the_server() -> list[float]:
    """CPU seconds of a picture without previews and with one every four steps, server and client in this process; least of the rounds."""
    server = grpc.aio.server(options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    async with build(DiffusionSettings(lease="off"), Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        channel = connect(f"127.0.0.1:{port}")
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        seen: list[list[float]] = [[], []]
        for number in range(2 * ROUNDS + 1):
            for at, interval in enumerate((0, 4)):
                began = time.process_time()
                request = diffusion_pb2.GenerateRequest(prompt=order(1).prompt, seed=1, preview_interval=interval)
                heard = [event async for event in stub.Generate(request)]
                assert any(event.HasField("preview") for event in heard) is bool(interval)
                if number:
                    seen[at].append(time.process_time() - began)
        await channel.close()
        await server.stop(0)
    return [min(times) for times in seen]


def main() -> None:
    """Measures and writes."""
    torch.set_num_threads(1)
    ways = Ways()
    same_alone = bool((ways.engine() == ways.plain()).all())
    same_together = all((a == b).all() for a, b in zip(ways.at_once(), ways.one_by_one(), strict=True))
    ways.projecting.picture(ways.begun(0).latents)
    plain, engine, projected, decoded = least(
        ways.plain,
        ways.engine,
        lambda: ways.engine_with_previews(ways.projecting),
        lambda: ways.engine_with_previews(ways.decoding),
    )
    quiet, streamed = asyncio.run(through_the_server())
    one_by_one, at_once = least(ways.one_by_one, ways.at_once)
    rows: list[list[Cell]] = [
        ["one picture, plain diffusers", plain, 1.0],
        ["one picture, engine", engine, engine / plain],
        ["one picture, engine, a preview every 4 steps (projection)", projected, projected / engine],
        ["one picture, engine, a preview every 4 steps (autoencoder)", decoded, decoded / engine],
        ["one picture through the server, client included", quiet, 1.0],
        ["one picture through the server, a preview every 4 steps", streamed, streamed / quiet],
        [f"{TOGETHER} pictures one by one, plain diffusers", one_by_one, 1.0],
        [f"{TOGETHER} pictures at once, engine", at_once, at_once / one_by_one],
    ]
    counts = [1, 2, 4, 8]
    steps = least(*(ways.step_of(count) for count in counts))
    for count, seconds in zip(counts, steps, strict=True):
        rows.append([f"a step of {count} in one pass, each", seconds / count, seconds / count / steps[0]])
    waits = ways.cancel_waits()
    rows.append(["cancel to gone, median (wall)", statistics.median(waits), statistics.median(waits) / steps[0]])
    rows.append(["cancel to gone, worst of 20 (wall)", max(waits), max(waits) / steps[0]])
    kinds = ways.batching.profile.kinds.values()
    used = sorted(count for kind in kinds for count in kind.sizes if kind.good(count))
    refused = sorted(count for kind in kinds for count, size in kind.sizes.items() if not size.exact)
    wanted = order(0)
    note = (
        f"{wanted.width}x{wanted.height}, {wanted.steps} steps, one thread. Ratios are to the line with 1 above, those of "
        f"previews to the engine without, those of cancel to a step. Previews by projection: {ways.decibels():.1f} dB against the decoder. "
        f"Bytes equal to plain diffusers: alone {same_alone}, all {TOGETHER} at once {same_together}. "
        f"Batch sizes that the engine found exact and faster: {used or 'none'}; that changed bits and aren't used: {refused or 'none'}."
    )
    write("engine", "The step engine against plain diffusers", ["what", "CPU seconds", "ratio"], rows, note)
    ways.single.close()
    ways.batching.close()
    ways.painter.shutdown()


if __name__ == "__main__":
    main()
