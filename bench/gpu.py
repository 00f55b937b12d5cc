"""Checks and times the step engine on a CUDA card, with SDXL's and FLUX.1's architectures and random weights: no hub, no files.

    python bench/gpu.py --out bench/results/gpu.json                      # nine minutes at most
    python bench/gpu.py --models flux --out /tmp/gpu.json                 # the flow transformer alone
    python bench/gpu.py --tiny --out /tmp/gpu.json                        # two minutes on a CPU: a rehearsal of the same code

Needs torch, diffusers, transformers and numpy. Prints a Markdown table and writes the same figures as JSON. Each part stands alone:
one that fails is reported with its error, and one that would begin past its model's share of --seconds is left out and said to be.
Exit status 1 when a part failed. The default ends within nine minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "servers"), str(ROOT / "generated")]

import diffusers  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from diffusers import DiffusionPipeline  # noqa: E402

import gpu_parts  # noqa: E402
from gpu_models import SUBJECTS, Subject  # noqa: E402
from imajin_servers.diffusion.engine import Engine  # noqa: E402
from imajin_servers.diffusion.models.memory import estimate  # noqa: E402
from imajin_servers.diffusion.orders import Order  # noqa: E402
from imajin_servers.diffusion.pipelines import Stepwise, wrap  # noqa: E402

EMBEDDED = ROOT / "servers/imajin_servers/diffusion/embedded"
GUIDANCE = 5.0


@dataclass
class Scale:
    """How large everything is."""

    device: torch.device
    dtype: torch.dtype
    sizes: list[int]
    steps: int
    repeats: int
    batches: list[int]
    compiles: bool


class Report:
    """Rows as they come, printed at once, kept for the end."""

    def __init__(self, model: str, until: float) -> None:
        self.model = model
        self.began = time.monotonic()
        self.until = until
        self.rows: list[dict[str, Any]] = []

    def row(self, part: str, what: str, value: float | str | bool, unit: str = "") -> None:
        """Adds a figure."""
        self.rows.append({"model": self.model, "part": part, "what": what, "value": value, "unit": unit})
        print(f"| {self.model} | {part} | {what} | {shown(value)} | {unit} |", flush=True)

    def run(self, name: str, work: Callable[[], None]) -> None:
        """Runs a part; its failure is a row."""
        if time.monotonic() > self.until:
            self.row(name, "left out", "no time left")
            return
        try:
            work()
        except Exception as error:
            traceback.print_exc()
            self.row(name, "failed", f"{type(error).__name__}: {str(error)[:200]}")
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def shown(value: float | str | bool) -> str:
    """A cell of the table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Bench:
    """The measurements on one model."""

    def __init__(self, scale: Scale, report: Report, model: str, tiny: bool) -> None:
        self.scale = scale
        self.report = report
        began = time.perf_counter()
        self.subject: Subject = SUBJECTS[model](scale.device, scale.dtype, tiny)
        self.sync()
        self.pipe, self.stepwise = self.subject.pipe, self.subject.stepwise
        report.row("model", "built", time.perf_counter() - began, "s")
        modules = self.subject.denoiser, self.pipe.vae
        parameters = sum(part.numel() for module in modules for part in module.parameters())
        report.row("model", "parameters", parameters / 1e9, "billion")
        self.steps_alone: dict[int, float] = {}

    def sync(self) -> None:
        """Waits for the card."""
        if self.scale.device.type == "cuda":
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

    @contextmanager
    def engine(self, max_batch: int = 1) -> Iterator[Engine]:
        """An engine for the length of a block."""
        engine = Engine("bench", self.stepwise, max_batch=max_batch, ageing=1.0)
        try:
            yield engine
        finally:
            engine.close()

    def drawn(self, engine: Engine, order: Order) -> Any:
        """The engine's picture."""
        run = engine.submit(self.subject.begun(order), lambda run: None).left.result()
        return self.stepwise.decode(run.latents)

    def quick(self, part: str) -> None:
        """Seconds an image by the plain pipeline, the largest alone."""
        order = self.order(self.scale.sizes[-1], 1)
        seconds = self.timed(lambda: self.subject.plain(order, "np"), 2)
        self.report.row(part, f"{order.width} px, {order.steps} steps, plain diffusers", seconds, "s an image")

    def alone(self, part: str) -> None:
        """Seconds an image: the plain pipeline against the engine, same process."""
        for size in self.scale.sizes:
            order = self.order(size, 1)
            plain = self.timed(lambda order=order: self.subject.plain(order, "np"))
            with self.engine() as engine:
                ours = self.timed(lambda order=order, engine=engine: self.drawn(engine, order))
            self.report.row(part, f"{size} px, {order.steps} steps, plain diffusers", plain, "s an image")
            self.report.row(part, f"{size} px, {order.steps} steps, engine", ours, "s an image")
            self.report.row(part, f"{size} px, engine over plain", ours / plain, "ratio")

    def same_bits(self) -> None:
        """Latents of the engine against the plain pipeline's, and of a run among others against the run alone."""
        size = self.scale.sizes[0]
        steps = min(8, self.scale.steps)
        order = self.order(size, 7, steps)
        reference = self.subject.plain(order, "latent")
        with self.engine() as engine:
            run = engine.submit(self.subject.begun(order), lambda run: None).left.result()
        alone = self.subject.latents(run)
        self.report.row("same bits", "finite", bool(reference.isfinite().all()))
        self.report.row("same bits", "engine alone equals plain diffusers", torch.equal(alone, reference))
        self.report.row("same bits", "largest difference", float((alone - reference).abs().max()))
        with self.engine(max_batch=8) as engine:
            tickets = [
                engine.submit(self.subject.begun(self.order(size, seed, steps)), lambda run: None)
                for seed in range(4, 9)
            ]
            tickets[0].cancel()
            among = self.subject.latents(tickets[3].left.result())
            tickets[4].left.result()
            used = sorted(count for kind in engine.profile.kinds.values() for count in kind.sizes if kind.good(count))
        self.report.row("same bits", "among others equals alone", torch.equal(among, alone))
        self.report.row("same bits", "batch sizes that passed their probes", ", ".join(map(str, used)) or "none")

    def batches(self) -> None:
        """A step of n runs in one pass: milliseconds a run, and whether each keeps the bits that it has alone."""
        for size in self.scale.sizes:
            runs = [self.subject.begun(self.order(size, seed)) for seed in range(max(self.scale.batches))]
            single = 0.0
            for count in self.scale.batches:
                chosen = runs[:count]
                with torch.inference_mode():
                    seconds = self.timed(lambda chosen=chosen: self.stepwise.predict(chosen), 5)
                    alone = [self.stepwise.predict([run])[0] for run in chosen]
                    together = self.stepwise.predict(chosen)
                each = seconds / count
                single = single or each
                self.steps_alone.setdefault(size, seconds)
                differences = [float((a - b).abs().max()) for a, b in zip(alone, together, strict=True)]
                part, what = "batches", f"{size} px, {count} in a pass"
                self.report.row(part, what, each * 1000, "ms a step and run")
                self.report.row(part, f"{what}: throughput against 1", single / each, "times")
                self.report.row(part, f"{what}: same bits as alone", max(differences) == 0)
                self.report.row(part, f"{what}: largest difference", max(differences))

    def cancels(self) -> None:
        """From cancel to the run having left the engine, against the time of a step."""
        size = self.scale.sizes[-1]
        waits = []
        with self.engine() as engine:
            for number in range(20):
                moved = []
                ticket = engine.submit(
                    self.subject.begun(self.order(size, number, 150)), lambda run, moved=moved: moved.append(1)
                )
                while len(moved) < 2:
                    time.sleep(0.001)
                began = time.perf_counter()
                ticket.cancel()
                ticket.left.exception()
                self.sync()
                waits.append(time.perf_counter() - began)
        self.report.row("cancel", f"{size} px: median", statistics.median(waits) * 1000, "ms")
        self.report.row("cancel", f"{size} px: worst of 20", max(waits) * 1000, "ms")
        if size in self.steps_alone:
            self.report.row("cancel", f"{size} px: a step", self.steps_alone[size] * 1000, "ms")

    def pause(self) -> None:
        """Off the card in the middle and back: the same bits, and how long it takes."""
        size, steps = self.scale.sizes[0], min(10, self.scale.steps)
        order = self.order(size, 3, steps)
        with self.engine() as engine:
            undisturbed = engine.submit(self.subject.begun(order), lambda run: None).left.result().latents
            moved: list[int] = []
            ticket = engine.submit(self.subject.begun(order), lambda run: moved.append(run.step))
            while len(moved) < 2:
                time.sleep(0.001)
            began = time.perf_counter()
            engine.pause()
            engine.move(torch.device("cpu"))
            self.sync()
            away = time.perf_counter() - began
            held = torch.cuda.memory_allocated() / 2**20 if self.scale.device.type == "cuda" else 0.0
            began = time.perf_counter()
            engine.move(self.scale.device)
            self.sync()
            back = time.perf_counter() - began
            engine.resume()
            resumed = ticket.left.result().latents
        self.report.row("pause", "same bits after pause and resume", torch.equal(resumed, undisturbed))
        self.report.row("pause", "off the card", away, "s")
        self.report.row("pause", "left on the card", held, "MiB")
        self.report.row("pause", "back on the card", back, "s")

    def memory(self) -> None:
        """Peaks beside the weights, against the estimate that leases ask for."""
        if self.scale.device.type != "cuda":
            return
        weights = torch.cuda.memory_allocated()
        self.report.row("memory", "weights", weights / 2**30, "GiB")
        for size in self.scale.sizes:
            order = self.order(size, 1, 2)
            with self.engine() as engine:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                run = engine.submit(self.subject.begun(order), lambda run: None).left.result()
                self.sync()
                denoising = torch.cuda.max_memory_allocated() - weights
                torch.cuda.reset_peak_memory_stats()
                self.stepwise.decode(run.latents)
                decoding = torch.cuda.max_memory_allocated() - weights
            self.report.row("memory", f"{size} px: peak of denoising", denoising / 2**30, "GiB")
            self.report.row("memory", f"{size} px: peak of decoding", decoding / 2**30, "GiB")
            self.report.row("memory", f"{size} px: estimate", self.estimate(order) / 2**30, "GiB")

    def estimate(self, order: Order) -> int:
        """Bytes that a lease for `order` asks for."""
        return estimate(self.pipe, *self.stepwise.drawn_size(order), self.stepwise.pass_rows(order))


def embedded(scale: Scale, report: Report) -> None:
    """The model that ships, on the card and on the CPU."""
    if not list(EMBEDDED.glob("unet/*.safetensors")):
        report.row("embedded", "left out", "its weights are not here")
        return
    nothing: Any = None
    order = Order(nothing, "a red apple", "", 256, 256, 20, GUIDANCE, 1, 0, 50)
    pictures: dict[str, Any] = {}
    for name in dict.fromkeys(["cpu", scale.device.type]):
        pipe = DiffusionPipeline.from_pretrained(EMBEDDED, dtype=torch.float32).to(name)
        stepwise = wrap(pipe)
        assert isinstance(stepwise, Stepwise)
        engine = Engine(name, stepwise, max_batch=8, ageing=1.0)

        def draw(stepwise: Stepwise = stepwise, engine: Engine = engine) -> Any:
            run = stepwise.start(order, stepwise.encode(order))
            return stepwise.decode(engine.submit(run, lambda run: None).left.result().latents)

        draw()
        began = time.perf_counter()
        pictures[name] = draw().astype(np.int16)
        report.row("embedded", f"{name}: 256 px, 20 steps", time.perf_counter() - began, "s an image")
        began = time.perf_counter()
        starts = [stepwise.start(order, stepwise.encode(order)) for _ in range(8)]
        for ticket in [engine.submit(run, lambda run: None) for run in starts]:
            ticket.left.result()
        report.row("embedded", f"{name}: 8 at once, denoised", (time.perf_counter() - began) / 8, "s an image")
        engine.close()
    if len(pictures) > 1:
        difference = np.abs(pictures["cpu"] - pictures[scale.device.type])
        report.row("embedded", "card against CPU: largest difference", int(difference.max()), "of 255")


PARTS: dict[str, Callable[[Bench], None]] = {
    "together": gpu_parts.together,
    "overlap": gpu_parts.overlap,
    "learned": gpu_parts.learned,
    "memory runs out": gpu_parts.runs_out,
    "driver": gpu_parts.driver,
    "graphs": gpu_parts.graphs,
    # From here on the model isn't what it was.
    "settings": gpu_parts.settings,
    "restart": gpu_parts.restart,
    "lossy": gpu_parts.lossy,
    "loading": gpu_parts.loading,
}
"""What is measured after the rest, in this order."""


def measured(scale: Scale, model: str, tiny: bool, until: float) -> list[dict[str, Any]]:
    """All parts of one model that begin before `until`; its weights are gone at the end."""
    report = Report(model, until)
    try:
        bench = Bench(scale, report, model, tiny)
    except Exception as error:
        traceback.print_exc()
        report.row("model", "failed", f"{type(error).__name__}: {str(error)[:200]}")
        return report.rows
    report.run("alone", lambda: bench.alone("alone"))
    report.run("same bits", bench.same_bits)
    report.run("batches", bench.batches)
    report.run("cancel", bench.cancels)
    report.run("memory", bench.memory)
    report.run("pause", bench.pause)
    for name, part in PARTS.items():
        report.run(name, lambda part=part: part(bench))
    report.row("all", "took", time.monotonic() - report.began, "s")
    return report.rows


def main() -> None:
    """Runs all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--tiny", action="store_true", help="a small model, for a rehearsal on a CPU")
    parser.add_argument("--models", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS), help="both by default")
    parser.add_argument("--seconds", type=float, default=400, help="no part begins after this, shared by the models")
    parser.add_argument("--no-compile", action="store_true", help="leaves torch.compile out")
    wishes = parser.parse_args()
    for library in (diffusers, transformers):
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
    cuda = torch.cuda.is_available()
    if not cuda and not wishes.tiny:
        sys.exit("no CUDA card here; --tiny rehearses on a CPU")
    if not cuda:
        torch.set_num_threads(1)
    scale = Scale(
        device=torch.device("cuda" if cuda else "cpu"),
        dtype=torch.bfloat16 if cuda else torch.float32,
        sizes=[128, 192] if wishes.tiny else [512, 1024],
        steps=6 if wishes.tiny else 30,
        repeats=2 if wishes.tiny else 3,
        batches=[1, 2, 4] if wishes.tiny else [1, 2, 4, 8],
        compiles=not wishes.no_compile,
    )
    machine = torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}"
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}"
    print(
        f"{machine}; {versions}\n\n| model | part | what | value | unit |\n| --- | --- | --- | --- | --- |", flush=True
    )
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    for number, model in enumerate(wishes.models, start=1):
        rows += measured(scale, model, wishes.tiny, began + wishes.seconds * number / len(wishes.models))
    report = Report("embedded", began + wishes.seconds + 60)
    report.run("embedded", lambda: embedded(scale, report))
    rows += report.rows
    if wishes.out is not None:
        wishes.out.parent.mkdir(parents=True, exist_ok=True)
        document = {"machine": machine, "versions": versions, "tiny": wishes.tiny, "rows": rows}
        wishes.out.write_text(json.dumps(document, indent=1) + "\n")
    failed = sorted({f"{row['model']}: {row['part']}" for row in rows if row["what"] == "failed"})
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
