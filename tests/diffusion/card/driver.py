"""What NVML says of the emulated card, so that the vram server grants by what its driver shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .memory import Memory


class Nvml:
    """Stands in for the module pynvml."""

    NVMLError = RuntimeError

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return "GPU-emulated-0"

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "Emulated"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        used = self.memory.reserved + self.memory.foreign
        return SimpleNamespace(total=self.memory.capacity, free=self.memory.capacity - used)
