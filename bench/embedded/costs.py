"""What the embedded model costs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import sample
import torch

from embedded.report import FEW


@torch.no_grad()
def costs(model: Path, guidance: float) -> dict[str, float]:
    """Seconds to load, and per picture on one thread, medians of five; beside them the networks alone, in turn."""
    start = time.perf_counter()
    pipeline = sample.load(model, threads=1)
    loading = time.perf_counter() - start
    size = sum(f.stat().st_size for f in model.rglob("*") if f.is_file()) / 2**20
    out = {"load_seconds": loading, "mebibytes": size}
    noise = torch.randn(1, pipeline.unet.config.in_channels, 16, 16)
    text = pipeline.text_encoder(torch.zeros(2, pipeline.tokenizer.model_max_length, dtype=torch.long))[0]

    def networks() -> None:
        for step in range(20):
            pipeline.unet(noise.expand(2, -1, -1, -1), 999 - 50 * step, text)
        pipeline.vae.decode(noise)

    for n in (20, *FEW):
        times, alone = [], []
        for _ in range(6):
            start = time.perf_counter()
            sample.draw(pipeline, ["a cat"], steps=n, guidance=guidance)
            middle = time.perf_counter()
            times.append(middle - start)
            if n == 20:
                networks()
                alone.append(time.perf_counter() - middle)
        out[f"seconds_{n}_steps"] = float(np.median(times[1:]))
        if n == 20:
            out["ratio_to_networks"] = float(np.median(times[1:]) / np.median(alone[1:]))
    return out
