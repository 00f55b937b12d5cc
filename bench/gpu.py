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
import gc
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "servers"), str(ROOT / "generated")]

from card.notes import dispensable  # noqa: E402

dispensable()

import diffusers  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from card import company, drawing, loading, memory, speed  # noqa: E402
from card.bench import Bench  # noqa: E402
from card.embedded import embedded  # noqa: E402
from card.report import Report  # noqa: E402
from card.scale import Scale  # noqa: E402
from card.subjects import SUBJECTS  # noqa: E402

PARTS: dict[str, Callable[[Bench], None]] = {
    "alone": drawing.alone,
    "same bits": drawing.same_bits,
    "batches": drawing.batches,
    "cancel": drawing.cancels,
    "memory": memory.memory,
    "pause": memory.pause,
    "reserve": memory.reserve,
    "together": company.together,
    "overlap": company.overlap,
    "learned": memory.learned,
    "memory runs out": memory.runs_out,
    "driver": memory.driver,
    "graphs": speed.graphs,
    # From here on the model isn't what it was.
    "settings": speed.settings,
    "restart": speed.restart,
    "lossy": speed.lossy,
    "loading": loading.loading,
}
"""What is measured, in this order."""


def measured(scale: Scale, model: str, until: float) -> list[dict[str, Any]]:
    """All parts of one model that begin before `until`; its weights are gone at the end."""
    report = Report(model, until)
    try:
        bench = Bench(scale, report, model)
    except Exception as error:
        report.failed("model", error)
        return report.rows
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
    # With its number: tensors say where they lie, and no thread can be told to use "cuda".
    device = torch.device("cuda", 0) if cuda else torch.device("cpu")
    scale = Scale(device, tiny=wishes.tiny, compiles=not wishes.no_compile)
    machine = torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}"
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}"
    print(
        f"{machine}; {versions}\n\n| model | part | what | value | unit |\n| --- | --- | --- | --- | --- |", flush=True
    )
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    for number, model in enumerate(wishes.models, start=1):
        rows += measured(scale, model, began + wishes.seconds * number / len(wishes.models))
        # Pipelines lie in circles: without this, the next model would share the card with this one's weights.
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
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
