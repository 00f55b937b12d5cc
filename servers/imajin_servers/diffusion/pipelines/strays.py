"""Tensors on a card that nobody can be asked to move: what the frames of a running call hold, what modules keep beside their weights.

Their storages leave the card and come back in place. So every tensor stays the same object of the same shape, strides and
neighbours, and whoever holds one goes on with the same bits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from inspect import CO_OPTIMIZED
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

OPAQUE = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    partial,
    torch.nn.Module,
    torch.Generator,
    str,
    bytes,
    int,
    float,
)
"""What is not looked into: modules move by themselves, functions hold what their callers hold."""
OURS = "imajin_servers."


class Strays:
    """The storages of `tensors`, off their card from the beginning until `back`. Both belong to the thread that uses them."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        self.kept: list[tuple[Any, Any]] = []
        """Each storage, which is empty, and its bytes on the host."""
        storage: Any
        for storage in {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}.values():
            # On the host there is nothing to give way to, and what another library lent can't be resized.
            if storage.device.type != "cpu" and storage.nbytes() and storage.resizable():
                self.kept.append((storage, storage.cpu()))
                storage.resize_(0)

    def back(self) -> None:
        """Brings them back. Raises torch.OutOfMemoryError."""
        for storage, numbers in self.kept:
            storage.resize_(numbers.nbytes())
            storage.copy_(numbers)
        self.kept = []


def in_frames(until: CodeType, device: torch.device) -> list[torch.Tensor]:
    """Tensors on `device` in the variables of the calling thread's frames below `until`, this project's own left out."""
    found: list[torch.Tensor] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not until:
        if not str(frame.f_globals.get("__name__")).startswith(OURS):
            variables = frame.f_locals
            found += reachable(variables.values(), device)
            if frame.f_code.co_flags & CO_OPTIMIZED and isinstance(variables, dict):
                # A copy, which would hold all of it until the frame ends.
                variables.clear()
        frame = frame.f_back
    return found


def in_modules(modules: Iterable[torch.nn.Module], device: torch.device) -> list[torch.Tensor]:
    """Tensors on `device` that `modules` and those inside of them keep, neither as parameters nor as buffers."""
    own = ("_parameters", "_buffers", "_modules")
    return [
        tensor
        for network in modules
        for module in network.modules()
        for tensor in reachable((value for name, value in vars(module).items() if name not in own), device)
    ]


def reachable(values: Iterable[Any], device: torch.device) -> Iterator[torch.Tensor]:
    """Tensors on `device` in `values`, and in what those hold."""
    waiting, seen = list(values), set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, OPAQUE):
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if value.device == device:
                yield value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += value
        elif hasattr(value, "__dict__"):
            waiting += vars(value).values()
