"""From a directory or a repository to a pipeline on a device, with the size known before and progress in bytes."""

from __future__ import annotations

import importlib
import json
import math
import struct
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
import huggingface_hub
import structlog
import torch
import transformers
from diffusers.pipelines import pipeline_utils

from imajin_servers.diffusion.models.speed import misfit
from imajin_servers.diffusion.pipelines.choice import FAMILIES
from imajin_servers.diffusion.pipelines.schedulers import fitting
from imajin_servers.runtime.errors import ImajinError, ModelNotFound, NotFound

if TYPE_CHECKING:
    from imajin_servers.diffusion.settings import LoraEntry, ModelEntry

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
TRACE = 4000
"""Letters of a traceback that are logged."""
LIBRARIES = ("diffusers", "transformers")
# Typed by nobody upstream.
PIPELINE: Any = pipeline_utils.DiffusionPipeline
OnBytes = Callable[[int, int], None]
"""Hears bytes loaded and bytes in all; called in the thread that loads."""

log = structlog.get_logger()


def device(wish: str) -> torch.device:
    """The device that `wish` names; `auto` is a GPU where there is one. A GPU without a number is the first."""
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    named = torch.device(wish)
    # A thread can't be told to use "cuda", and no tensor says that it lies there: both want the number.
    return torch.device("cuda", 0) if named == torch.device("cuda") else named


def dtype(entry: ModelEntry, on: torch.device) -> torch.dtype:
    """Type of the weights."""
    return DTYPES[entry.dtype or ("bfloat16" if on.type == "cuda" else "float32")]


def directory(entry: ModelEntry) -> Path:
    """Where the model's files lie; downloads them from the hub where `source` is no directory. Raises ModelNotFound."""
    path = Path(entry.source)
    if path.is_dir():
        return path
    try:
        found = PIPELINE.download(entry.source, revision=entry.revision, variant=entry.variant)
    except Exception as error:
        raise unloadable(entry, error) from error
    return Path(found)


def unloadable(entry: ModelEntry, error: Exception) -> ImajinError:
    """The error of a model whose files can't be had or read."""
    # The lines alone: the locals of a traceback are all the tensors of a half loaded model, whose texts take seconds.
    lines = "".join(traceback.format_exception(error))[-TRACE:]
    log.error("model can't be loaded", model=entry.name, source=entry.source, error=lines)
    return ModelNotFound(f"the model {entry.name!r} can't be loaded from its source", metadata={"model": entry.name})


def weight_files(folder: Path, variant: str | None) -> list[Path]:
    """The safetensors files of one component that are loaded."""
    files = sorted(folder.glob("*.safetensors"))
    chosen = [file for file in files if variant and f".{variant}" in file.name]
    return chosen or [file for file in files if ".fp16" not in file.name] or files


def weight_bytes(path: Path, variant: str | None, target: torch.dtype) -> dict[str, int]:
    """Bytes that each component in `path` takes in memory as `target`: from the files' headers, no tensor is read."""
    size = torch.finfo(target).bits // 8
    return {
        folder.name: sum(tensor_bytes(file, size) for file in weight_files(folder, variant))
        for folder in sorted(path.iterdir())
        if folder.is_dir() and weight_files(folder, variant)
    }


def tensor_bytes(file: Path, float_size: int) -> int:
    """Bytes of the tensors in a safetensors file, floats counted as `float_size` bytes each. Raises ValueError where it is none."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
        total = 0
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            begin, end = tensor["data_offsets"]
            stored = FLOATS.get(tensor["dtype"])
            total += math.prod(tensor["shape"]) * float_size if stored else end - begin
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no file of weights: {error}") from error
    return total


def located(entry: ModelEntry, on: torch.device) -> tuple[Path, int]:
    """Where the model's files lie, as `directory` finds them, and bytes of the weights. Blocking.

    Raises ModelNotFound where they can't be had, and where the operator asks for what such a model can't do.
    """
    path = directory(entry)
    pipeline = pipeline_class(path)
    if pipeline is None or not hasattr(diffusers, pipeline):
        raise unloadable(entry, ValueError(f"diffusers has no pipeline {pipeline!r}; {path} names it"))
    if reason := misfit(entry, pipeline):
        log.error("model can't be loaded", model=entry.name, source=entry.source, reason=reason)
        raise ModelNotFound(reason, metadata={"model": entry.name})
    try:
        return path, sum(weight_bytes(path, entry.variant, dtype(entry, on)).values())
    except (OSError, ValueError) as error:
        raise unloadable(entry, error) from error


def known_weight_bytes(entry: ModelEntry, on: torch.device) -> int:
    """Bytes of the weights; 0 where the files are not here, or can't be read."""
    path = Path(entry.source)
    try:
        return sum(weight_bytes(path, entry.variant, dtype(entry, on)).values()) if path.is_dir() else 0
    except (OSError, ValueError) as error:
        # The other models are none the worse for it; whoever asks for this one is told.
        log.warning("weights can't be read", model=entry.name, reason=str(error))
        return 0


def known_schedulers(entry: ModelEntry) -> list[str] | None:
    """Names of the schedulers that fit the model; None where its files are not here."""
    try:
        config = json.loads((Path(entry.source) / "scheduler" / "scheduler_config.json").read_text())
        return fitting(config)
    except (OSError, ValueError, AttributeError):
        return None


def known_edits(entry: ModelEntry) -> bool | None:
    """Whether the model draws from images too; None where its files are not here."""
    pipeline = pipeline_class(Path(entry.source))
    return None if pipeline is None else pipeline in FAMILIES


def pipeline_class(path: Path) -> str | None:
    """Name of the class of the pipeline in `path`; None where its files don't say."""
    try:
        return str(json.loads((path / "model_index.json").read_text())["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def lora_bytes(entries: Sequence[LoraEntry]) -> int:
    """Length of the adapters' files, those left out that are not here. Blocking."""
    total = 0
    for entry in entries:
        path = Path(entry.source)
        files = [path] if path.is_file() else [path / entry.file] if entry.file else list(path.glob("*.safetensors"))
        total += sum(file.stat().st_size for file in files if file.is_file())
    return total


def lora_file(entry: LoraEntry) -> Path:
    """The adapter's file; downloaded from the hub where `source` is no path. Raises NotFound."""
    path = Path(entry.source)
    try:
        if path.is_dir():
            (path,) = [path / entry.file] if entry.file else path.glob("*.safetensors")
        elif not path.is_file():
            path = Path(huggingface_hub.hf_hub_download(entry.source, entry.file, revision=entry.revision))
        if path.is_file():
            return path
        raise FileNotFoundError(path)
    except Exception as error:
        log.error("adapter can't be had", adapter=entry.name, source=entry.source, exc_info=error)
        raise NotFound(
            f"the adapter {entry.name!r} can't be loaded from its source", metadata={"name": entry.name}
        ) from error


def load(entry: ModelEntry, path: Path, on: torch.device, on_bytes: OnBytes) -> Any:
    """The pipeline in `path` on `on`, without gradients. Raises ModelNotFound where the files are no pipeline."""
    target = dtype(entry, on)
    sizes = weight_bytes(path, entry.variant, target)
    total = sum(sizes.values())
    on_bytes(0, total)
    try:
        hush()
        # What was left out when the model was saved, such as one of three text encoders, must be left out by name.
        parts: dict[str, Any] = dict.fromkeys(absent(path))
        loaded = 0
        for name, (library, kind) in components(path).items():
            parts[name] = component(path / name, library, kind, target, entry.variant, on)
            loaded += sizes.get(name, 0)
            on_bytes(loaded, total)
        pipe = PIPELINE.from_pretrained(
            path, dtype=target, variant=entry.variant, use_safetensors=True, local_files_only=True, **parts
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise unloadable(entry, error) from error
    pipe.to(on)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    on_bytes(total, total)
    return pipe


def components(path: Path) -> dict[str, tuple[str, str]]:
    """The parts with weights that can be loaded one by one: name to library and class."""
    index = json.loads((path / "model_index.json").read_text())
    return {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list) and value[0] in LIBRARIES and list((path / name).glob("*.safetensors"))
    }


def absent(path: Path) -> list[str]:
    """Names of the parts that the pipeline in `path` does without."""
    index = json.loads((path / "model_index.json").read_text())
    return [name for name, value in index.items() if isinstance(value, list) and value[0] is None]


def component(folder: Path, library: str, kind: str, target: torch.dtype, variant: str | None, on: torch.device) -> Any:
    """One part of a pipeline, a tensor at a time from the mapped file to its device: neither side ever holds it twice."""
    made = getattr(importlib.import_module(library), kind)
    return made.from_pretrained(
        folder, dtype=target, variant=variant, use_safetensors=True, local_files_only=True, device_map={"": on}
    )


def hush() -> None:
    """Keeps the libraries from drawing bars and notes on the terminal: progress goes to the caller, errors are raised."""
    for library in (diffusers, transformers):
        library.logging.set_verbosity_error()
        library.logging.disable_progress_bar()
