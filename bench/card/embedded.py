"""The model that ships, on the card and on the CPU."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from card.report import Report
from card.scale import Scale
from imajin_servers.diffusion import streams
from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.orders import Order
from imajin_servers.diffusion.pipelines import Run, Stepwise, wrap

EMBEDDED = Path(__file__).resolve().parents[2] / "servers/imajin_servers/diffusion/embedded"
GUIDANCE = 5.0


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
            return stepwise.decode(engine.submit(begun(stepwise, order), lambda run: None).left.result().latents)

        draw()
        began = time.perf_counter()
        pictures[name] = draw().astype(np.int16)
        report.row("embedded", f"{name}: 256 px, 20 steps", time.perf_counter() - began, "s an image")
        began = time.perf_counter()
        starts = [begun(stepwise, order) for _ in range(8)]
        for ticket in [engine.submit(run, lambda run: None) for run in starts]:
            ticket.left.result()
        report.row("embedded", f"{name}: 8 at once, denoised", (time.perf_counter() - began) / 8, "s an image")
        engine.close()
    if len(pictures) > 1:
        difference = np.abs(pictures["cpu"] - pictures[scale.device.type])
        report.row("embedded", "card against CPU: largest difference", int(difference.max()), "of 255")


def begun(stepwise: Stepwise, order: Order) -> Run:
    """A run before its first step, all of which is on the card."""
    return streams.dry(stepwise.device, lambda: stepwise.start(order, stepwise.encode(order)))()
