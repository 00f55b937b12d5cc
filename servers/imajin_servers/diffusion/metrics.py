"""What Prometheus may read of generations. Sizes are chosen by callers, so only the first ones get series of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from imajin_servers.runtime.errors import ImajinError
from imajin_servers.runtime.metrics import SECONDS, Few

QUEUE = Gauge("imajin_diffusion_queue_length", "Generations that wait for a place.", ("model",))
ACTIVE = Gauge("imajin_diffusion_active", "Generations that hold a place.", ("model",))
GENERATIONS = Counter(
    "imajin_diffusion_generations_total",
    "Generations that ended: done, cancelled, or the reason of their error.",
    ("model", "outcome"),
)
PHASE = Histogram(
    "imajin_diffusion_phase_seconds", "Time of a generation's phases.", ("model", "phase"), buckets=SECONDS
)
BATCH = Histogram(
    "imajin_diffusion_batch_size", "Generations that share a forward pass.", ("model",), buckets=(1, 2, 4, 8, 16, 32)
)
STEP = Histogram(
    "imajin_diffusion_step_seconds",
    "Time of a step, of all that share it, by the drawn size in pixels.",
    ("model", "shape"),
    buckets=SECONDS,
)
PREVIEWS = Counter(
    "imajin_diffusion_previews_total",
    "Previews that were made, that failed, or that a newer one replaced before they were.",
    ("model", "outcome"),
)
LOADED = Gauge(
    "imajin_diffusion_model_loaded_bytes", "Bytes of a model's weights in memory, 0 while it isn't.", ("model",)
)
LOADS = Histogram("imajin_diffusion_load_seconds", "Time to load a model's weights.", ("model",), buckets=SECONDS)
PAUSES = Counter(
    "imajin_diffusion_pauses_total", "Times that a model left the card with generations on it.", ("model",)
)

SHAPES = Few(32)


@contextmanager
def generation(model: str, timings: object) -> Iterator[None]:
    """Takes note of the end of a generation, and of the milliseconds of its phases, the fields of `timings`."""
    outcome = "done"
    try:
        yield
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    except Exception as error:
        outcome = error.reason.lower() if isinstance(error, ImajinError) else "internal"
        raise
    finally:
        GENERATIONS.labels(model, outcome).inc()
        for phase, milliseconds in vars(timings).items():
            if milliseconds:
                PHASE.labels(model, phase).observe(milliseconds / 1000)


def stepped(model: str, runs: int, width: int, height: int, seconds: float) -> None:
    """Takes note of a step of `runs` generations of that size."""
    BATCH.labels(model).observe(runs)
    STEP.labels(model, SHAPES.of(f"{width}x{height}")).observe(seconds)
