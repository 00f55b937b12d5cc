"""Whether the denoiser ever waits: four generations at once on the model that ships, what each thread did when, and how soon a caller hears something.

`python bench/overlap.py` writes bench/results/overlap.{json,md}. A gap is the time between two passes of the engine's thread while runs were
there to step; beside it stands how much of all gaps fell into an encode, a decode, a preview or the finishing of another
generation: what would have been waiting, had they shared a thread. Wall time: it needs a machine with an idle core.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import grpc

from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin_servers.diffusion import build as building
from imajin_servers.diffusion.generations import Generations
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.server import OPTIONS, Lifetime
from results import Cell, write

TOGETHER = 4
CALLS = 30


@dataclass
class Lane:
    """What one kind of work did: beginning and end of each piece, in seconds."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    """Of a pass: whether no run was left to step afterwards."""

    def around(self, work: Callable[..., Any], after: Callable[[], bool] = lambda: False) -> Callable[..., Any]:
        """`work`, noted."""

        def noted(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                self.spans.append((began, time.perf_counter()))
                self.alone.append(after())

        return noted

    @property
    def busy(self) -> float:
        """Seconds."""
        return sum(end - begin for begin, end in self.spans)

    def within(self, begin: float, end: float) -> float:
        """Seconds of its work between two moments."""
        return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in self.spans)


async def hear(stub: Any, seed: int, **fields: Any) -> float:
    """One generation; seconds to its first event."""
    began, first = time.perf_counter(), 0.0
    async for _ in stub.Generate(pb.GenerateRequest(prompt="a red apple", seed=seed, **fields)):
        first = first or time.perf_counter() - began
    return first


async def first_events(stub: Any, generations: Generations, others: int) -> tuple[list[float], list[float]]:
    """Seconds to the first event of calls that are given up then, each once the one before is gone: by the clock, and of CPU."""
    waits, work = [], []
    for seed in range(CALLS):
        began, worked = time.perf_counter(), time.process_time()
        call = stub.Generate(pb.GenerateRequest(prompt="a red apple", seed=seed))
        async for _ in call:
            waits.append(time.perf_counter() - began)
            work.append(time.process_time() - worked)
            break
        call.cancel()
        over = set(list(generations.running)[others:])
        if over:
            await asyncio.wait(over)
    return waits, work


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all are below."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measured() -> tuple[dict[str, Lane], tuple[list[float], list[float]], tuple[list[float], list[float]]]:
    """Lanes of four generations at once; seconds to first events of an idle and of a busy server."""
    lanes = {name: Lane() for name in ("pass", "encode", "decode", "preview", "finish")}
    held: list[Generations] = []
    make = building.Generations
    building.Generations = lambda *parts: held.append(make(*parts)) or held[-1]  # type: ignore[assignment,misc,func-returns-value]
    server = grpc.aio.server(options=OPTIONS)
    port = server.add_insecure_port("127.0.0.1:0")
    async with building.build(DiffusionSettings(lease="off"), Lifetime()) as services:
        for service in services:
            service.add(service.servicer, server)
        await server.start()
        channel = connect(f"127.0.0.1:{port}")
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        await asyncio.gather(*(hear(stub, seed, preview_interval=2) for seed in range(TOGETHER)))
        loaded = held[0].models["embedded"].loaded
        assert loaded is not None
        engine: Any = loaded.engine
        pipeline: Any = loaded.pipeline
        previewer: Any = loaded.previewer
        engine.tick = lanes["pass"].around(engine.tick, lambda: not engine.tickets)
        pipeline.encode = lanes["encode"].around(pipeline.encode)
        pipeline.decode = lanes["decode"].around(pipeline.decode)
        previewer.picture = lanes["preview"].around(previewer.picture)
        generations: Any = held[0]
        finished = generations.finished

        async def finishing(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return await finished(*arguments)
            finally:
                lanes["finish"].spans.append((began, time.perf_counter()))

        generations.finished = finishing

        async def later(seed: int) -> float:
            # One after the other, so that some encode and decode while others denoise.
            await asyncio.sleep(0.15 * seed)
            return await hear(stub, seed, preview_interval=2)

        await asyncio.gather(*(later(seed) for seed in range(TOGETHER)))
        idle = await first_events(stub, held[0], 0)
        others = [asyncio.create_task(hear(stub, seed, steps=150)) for seed in range(TOGETHER)]
        await asyncio.sleep(0.5)
        busy = await first_events(stub, held[0], TOGETHER)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await channel.close()
        await server.stop(0)
    return lanes, idle, busy


def main() -> None:
    """Measures and writes."""
    lanes, idle, busy = asyncio.run(measured())
    passes = lanes["pass"]
    gaps = [
        (end, begin)
        for (_, end), (begin, _), over in zip(passes.spans, passes.spans[1:], passes.alone, strict=False)
        if not over
    ]
    lengths = [begin - end for end, begin in gaps]
    steps = [end - begin for begin, end in passes.spans]
    whole = passes.spans[-1][1] - passes.spans[0][0]
    rows: list[list[Cell]] = [
        ["a pass of the denoiser, median", statistics.median(steps) * 1000, 1.0],
        [
            "gap between passes, median",
            statistics.median(lengths) * 1000,
            statistics.median(lengths) / statistics.median(steps),
        ],
        ["gap between passes, longest", max(lengths) * 1000, max(lengths) / statistics.median(steps)],
        ["all gaps together", sum(lengths) * 1000, sum(lengths) / whole],
    ]
    for name, lane in lanes.items():
        if name != "pass":
            inside = sum(lane.within(begin, end) for begin, end in passes.spans)
            rows.append([f"{name}: all {len(lane.spans)} together", lane.busy * 1000, lane.busy / whole])
            rows.append([f"{name}: while a pass ran", inside * 1000, inside / lane.busy if lane.busy else 0.0])
    rows.append(
        [
            f"first event, server idle, CPU of client and server, median of {CALLS}",
            statistics.median(idle[1]) * 1000,
            "",
        ]
    )
    for name, waits in (("idle", idle[0]), ("busy with four", busy[0])):
        rows.append([f"first event, server {name}, median of {CALLS}", statistics.median(waits) * 1000, ""])
        rows.append([f"first event, server {name}, 95th percentile", percentile(waits, 0.95) * 1000, ""])
    note = (
        f"{TOGETHER} generations of 20 steps, a preview every 2, each begun 150 ms after the one before; {threading.active_count()} threads at the end. "
        "Ratios: gaps to a pass, sums to the whole time, work while a pass ran to all of that work."
    )
    write("overlap", "The denoiser and the work beside it", ["what", "ms", "ratio"], rows, note)


if __name__ == "__main__":
    main()
