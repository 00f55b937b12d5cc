"""A CUDA card that isn't there, for machines without one: this module puts it under torch, for the length of a block.

Why not torch's own ways: `_setup_privateuseone_for_python_backend` gives a device of another type, and what is to be tested is
what the server, diffusers and transformers do where `device.type == "cuda"`; modes (FakeTensorMode, TorchDispatchMode) belong to one thread,
and the server has five. So tensors are wrapper subclasses that say `cuda:0`, and the dispatcher's CUDA key, empty in a torch without CUDA, gets
a fallback in Python, for all threads.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch._utils import _get_device_index

from .kernels import CARD, OnCard, kernels
from .memory import Memory, Stream

LAZY, CUDA = 17, 1
"""Numbers of device types."""
WHOLE = ("copy_", "arange", "arange.start", "arange.start_step", "scaled_dot_product_attention")
"""Operations that torch would take to pieces which need kernels of CUDA's own, or which change the size of what they are given."""
REGISTRY = "_ZN3c104impl26device_guard_impl_registryE"


def guard() -> None:
    """Gives torch a device guard for CUDA that does nothing, as it does itself where it was built with CUDA and finds no card.

    It checks for a guard that counts no devices; the one of lazy tensors, which counts none, is lent for that.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * (LAZY + 1)).in_dll(library, REGISTRY)
    if guards[CUDA] is None:
        guards[CUDA] = guards[LAZY]
        torch._C._ensureCUDADeviceGuardSet()


@contextlib.contextmanager
def emulated(capacity: int) -> Iterator[Memory]:
    """A card of `capacity` bytes, for the length of a block."""
    guard()
    memory = kernels.memory = Memory(capacity)
    everything, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    everything.fallback(kernels.whole, "CUDA")
    for name in WHOLE:
        packet, _, overload = name.partition(".")
        func = getattr(getattr(torch.ops.aten, packet), overload or "default")
        own.impl(name, partial(kernels.whole, func), "CUDA")
    swapped = torch.__future__.get_swap_module_params_on_conversion()
    # A parameter that moves stays the same object, as between devices that are there.
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with mock.patch.multiple(torch.cuda, **surface(memory)):
            yield memory
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swapped)
        everything._destroy()
        own._destroy()


def surface(memory: Memory) -> dict[str, Any]:
    """What stands in for the names of torch.cuda."""

    def set_device(device: Any) -> None:
        assert _get_device_index(device) == 0  # raises where it has no index, as the real one does

    def set_stream(stream: Stream) -> None:
        memory.local.stream = stream

    @contextlib.contextmanager
    def within(stream: Stream | None) -> Iterator[None]:
        before = memory.stream
        set_stream(stream or before)
        try:
            yield
        finally:
            set_stream(before)

    def synchronize(device: Any = None) -> None:
        memory.settle()

    def mem_get_info(device: Any = None) -> tuple[int, int]:
        return memory.capacity - memory.foreign - memory.reserved, memory.capacity

    properties = SimpleNamespace(
        name="Emulated", major=9, minor=0, total_memory=memory.capacity, multi_processor_count=1, uuid="emulated-0"
    )
    return {
        "_lazy_init": lambda: None,
        "init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_exchange_device": lambda index: 0,
        "_maybe_exchange_device": lambda index: 0,
        "set_device": set_device,
        "get_device_name": lambda device=None: properties.name,
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_properties": lambda device=None: properties,
        "is_bf16_supported": lambda including_emulation=True: True,
        "Stream": memory.new_stream,
        "current_stream": lambda device=None: memory.stream,
        "default_stream": lambda device=None: memory.default,
        "set_stream": set_stream,
        "stream": within,
        "synchronize": synchronize,
        "mem_get_info": mem_get_info,
        "memory_allocated": lambda device=None: memory.allocated,
        "max_memory_allocated": lambda device=None: memory.peak,
        "memory_reserved": lambda device=None: memory.reserved,
        "max_memory_reserved": lambda device=None: memory.peak_reserved,
        "reset_peak_memory_stats": lambda device=None: memory.reset_peak(),
        "empty_cache": memory.empty,
        "ipc_collect": lambda: None,
    }


__all__ = ["CARD", "Memory", "OnCard", "emulated"]
