"""`bench/gpu.py` on an emulated card, small models: a card is rare, and no part may fail there for a reason that this could have told."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path

import pytest

from .emulated import CARD, Memory

BENCH = Path(__file__).parents[3] / "bench"
# The emulated card has no pinned memory, no graphs and no driver of its own; the other three only take long, and do what the rest does.
UNSEEN = {"loading", "graphs", "driver", "restart", "batches", "together", "overlap"}


@pytest.mark.parametrize("model", ["sdxl", "flux"])
@pytest.mark.filterwarnings("ignore")
def test_its_parts_run(model: str, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    gpu = import_module("gpu")
    report = gpu.Report(model, time.monotonic() + 600)
    bench = gpu.Bench(gpu.Scale(CARD, tiny=True, compiles=False), report, model)
    for name, part in gpu.PARTS.items():
        if name not in UNSEEN:
            report.run(name, lambda part=part: part(bench))
    assert [row for row in report.rows if row["what"] == "failed"] == []
    told = {row["what"]: row["value"] for row in report.rows if row["part"] in {"same bits", "pause"}}
    assert told["engine alone equals plain diffusers"]
    assert told["same bits after pause and resume"]
    # The parts that change a model's settings do so beside whatever still runs; a server does it before anything does.
    memory.hazards.clear()
