"""From files to the card, against the same bytes from pinned memory."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

import torch

from card.bench import Bench


def loading(bench: Bench) -> None:
    """From files to the card by the server's code, against the same bytes from pinned memory."""
    # Needs more than the rest does: where that is missing, this part alone fails.
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
    if bench.scale.cuda:
        piece = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
        place = torch.empty_like(piece, device=bench.scale.device)
        one = bench.timed(lambda: place.copy_(piece, non_blocking=True), 10)
        bench.report.row("loading", "the bus alone", one * size / (1 << 28), "s")
