"""What it costs to load a model and to switch to another: against reading the file, the bound that no loader passes.

`python bench/model_switch.py` writes bench/results/model_switch.{json,md}: two UNet models of random weights on disk (about 400 MB each), loaded by the
server's own code. On a card the bound is the bus: the same bytes from pinned memory. A load counts until each weight was touched,
because a mapped file is read no sooner. The page cache is warm: that is the state of a server that switches to and fro.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from imajin_servers.diffusion.models import loading
from imajin_servers.diffusion.settings import EMBEDDED, ModelEntry
from results import Cell, write

ROUNDS = int(os.environ.get("IMAJIN_BENCH_ROUNDS", "3"))
MIB = 1024**2
DEVICE = loading.device("auto")


def models(folder: Path) -> list[Path]:
    """Two models: the parts of the one that ships, with a larger denoiser of random weights, in float32 and in float16."""
    torch.manual_seed(0)
    small = StableDiffusionPipeline.from_pretrained(EMBEDDED, dtype=torch.float32)
    config = {**small.unet.config, "block_out_channels": [320, 480, 640], "layers_per_block": 2, "norm_num_groups": 32}
    unet = UNet2DConditionModel.from_config(config)
    made = []
    for dtype in (torch.float32, torch.float16):
        path = folder / str(dtype).removeprefix("torch.")
        shutil.copytree(EMBEDDED, path, ignore=shutil.ignore_patterns("unet"))
        unet.to(dtype).save_pretrained(path / "unet")
        made.append(path)
    return made


def entry(path: Path) -> ModelEntry:
    """The model in `path`, in the type that the device computes in."""
    return ModelEntry(name=path.name, source=str(path))


def load(path: Path) -> Any:
    """The model in memory, each weight touched."""
    pipe = loading.load(entry(path), path, DEVICE, lambda done, total: None)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            for weight in part.parameters():
                weight.view(-1)[:: 4096 // weight.element_size()].sum()
    settle()
    return pipe


def settle() -> None:
    """Waits for the device."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def files(path: Path) -> list[Path]:
    """The files with weights."""
    return sorted(path.glob("*/*.safetensors"))


def size(path: Path) -> int:
    """Bytes of the files with weights."""
    return sum(file.stat().st_size for file in files(path))


def read(path: Path) -> None:
    """Reads the files once, into one buffer."""
    buffer = bytearray(4 * MIB)
    for file in files(path):
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass


def convert(path: Path) -> None:
    """Copies as many weights as the model has, of the file's type, to what the device computes in."""
    stored = torch.float16 if path.name == "float16" else torch.float32
    source = torch.zeros(size(path) // stored.itemsize, dtype=stored)
    source.to(loading.dtype(entry(path), DEVICE), copy=True)


def bus(path: Path) -> None:
    """Copies the bytes that the weights take on the device from pinned memory, a quarter GiB at a time."""
    left = sum(loading.weight_bytes(path, None, loading.dtype(entry(path), DEVICE)).values())
    piece = torch.empty(256 * MIB, dtype=torch.uint8, pin_memory=True)
    place = torch.empty_like(piece, device=DEVICE, pin_memory=False)
    while left > 0:
        place[: min(left, len(piece))].copy_(piece[: min(left, len(piece))], non_blocking=True)
        left -= len(piece)
    settle()


def least(work: Callable[[], object]) -> float:
    """Wall seconds, least of the rounds after one that isn't counted."""
    times = []
    for number in range(ROUNDS + 1):
        gc.collect()
        began = time.perf_counter()
        work()
        if number:
            times.append(time.perf_counter() - began)
    return min(times)


def memory() -> dict[str, int]:
    """Of this process, in bytes: resident, its peak, and the part that is no file."""
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(facts[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS", "RssAnon")}


def child(path: Path) -> None:
    """Loads one model in a process of its own; prints what it took."""
    warm = loading.load(entry(EMBEDDED), EMBEDDED, DEVICE, lambda done, total: None)
    del warm
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = memory()
    pipe = load(path)
    after = memory()
    assert pipe is not None
    print(json.dumps({"peak": after["VmHWM"] - before["VmRSS"], "anonymous": after["RssAnon"] - before["RssAnon"]}))


def main() -> None:
    """Measures and writes."""
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        child(Path(sys.argv[1]))
        return
    folder = Path(tempfile.mkdtemp(prefix="imajin-switch-"))
    rows: list[list[Cell]] = []
    try:
        paths = models(folder)
        pipes: dict[str, Any] = {}
        for path in paths:
            weights = sum(loading.weight_bytes(path, None, loading.dtype(entry(path), DEVICE)).values())
            reading, converting = least(lambda path=path: read(path)), least(lambda path=path: convert(path))
            converts = weights > 1.5 * size(path)
            bound = converting if converts else reading
            if DEVICE.type == "cuda":
                bound = least(lambda path=path: bus(path))
            loading_time = least(lambda path=path: load(path))
            text = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True, check=True)
            took = json.loads(text.stdout.splitlines()[-1])
            name = f"{path.name} on disk"
            rows += [
                [f"{name}: file", size(path) / MIB, "MiB", 1.0],
                [f"{name}: weights in memory", weights / MIB, "MiB", weights / size(path)],
                [f"{name}: peak of resident memory while loading", took["peak"] / MIB, "MiB", took["peak"] / weights],
                [f"{name}: of that no file, after", took["anonymous"] / MIB, "MiB", took["anonymous"] / weights],
                [f"{name}: reading the file", reading, "s", reading / bound],
                *(
                    [[f"{name}: turning the weights into float32", converting, "s", converting / bound]]
                    if converts
                    else []
                ),
                [f"{name}: loading", loading_time, "s", loading_time / bound],
            ]

        def switch() -> None:
            for path in paths:
                pipes.clear()
                gc.collect()
                pipes[path.name] = load(path)

        rows.append(["switching, the mean of both ways", statistics.mean([least(switch)]) / 2, "s", ""])
    finally:
        shutil.rmtree(folder)
    limit = "reading the file from the page cache, or, where its type is another, turning the weights into the one computed in"
    if DEVICE.type == "cuda":
        limit = "the bus: pinned memory to the card"
    note = f"Device {DEVICE}. Ratios of times are to the bound, {limit}; those of memory to the weights, of the weights to the file."
    write("model_switch", "Loading a model and switching to another", ["what", "value", "unit", "ratio"], rows, note)


if __name__ == "__main__":
    main()
