"""Runs that one engine takes steps of together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.pipelines import Run, Stepwise


def together(
    stepwise: Stepwise, runs: Sequence[Run], count: Callable[[Sequence[Run]], int]
) -> tuple[list[torch.Tensor], int]:
    """The latents of `runs`, all there before the first step, and the most that `count` said of a pass."""
    counted: list[int] = []
    predict = stepwise.predict

    def watched(some: Any) -> Any:
        counted.append(count(some))
        return predict(some)

    stepwise.predict = watched  # type: ignore[method-assign]
    engine = Engine("test", stepwise, max_batch=4, ageing=1.0)
    try:
        engine.pause()
        tickets = [engine.submit(run, lambda run: None) for run in runs]
        engine.move(torch.device("cpu"))
        engine.resume()
        return [ticket.left.result(timeout=60).latents for ticket in tickets], max(counted)
    finally:
        engine.close()
        stepwise.predict = predict  # type: ignore[method-assign]
