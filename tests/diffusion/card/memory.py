"""The memory of an emulated card: what is allocated and kept, by stream, and who still works on what.

Counts as PyTorch's caching allocator does: blocks of 512 bytes, what is freed stays in reserve for the stream that it was
allocated on, and goes back to the driver when `empty_cache` says so or when nothing else is left.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

GRAIN = 512


@dataclass(eq=False)
class Stream:
    """An order of kernels; it stands in for torch.cuda.Stream."""

    device: Any = None
    priority: int = 0
    queued: int = 0
    """Kernels so far."""
    done: int = 0
    """Of these, those that the host has waited for."""
    awaited: dict[Stream, int] = field(default_factory=dict)
    """How far the other streams are that this one has waited for."""

    def synchronize(self) -> None:
        """The host waits until all of it is done, and so for whatever it waited for."""
        self.done = self.queued
        for other, count in self.awaited.items():
            other.done = max(other.done, count)

    def wait_stream(self, other: Stream) -> None:
        """What is queued from here on begins when what `other` has now is done."""
        self.awaited[other] = other.queued

    def knows(self, other: Stream, kernel: int) -> bool:
        """Whether `kernel` of `other` is done before whatever is queued here next."""
        return self is other or kernel <= max(other.done, self.awaited.get(other, 0))


@dataclass
class Sync:
    """A moment in which the host waited for the card."""

    kind: str
    thread: str
    where: str


class Block:
    """A piece of the card's memory. It is freed when nothing refers to it."""

    def __init__(self, memory: Memory, storage: torch.UntypedStorage, stream: Stream) -> None:
        self.memory = memory
        self.storage = storage
        """Where its numbers really are."""
        self.taken(stream)

    def taken(self, stream: Stream) -> None:
        """Takes room for all of the storage. Raises torch.OutOfMemoryError."""
        self.bytes = -(-self.storage.nbytes() // GRAIN) * GRAIN
        self.stream = stream
        self.written: tuple[Stream, int] | None = None
        self.used: dict[Stream, int] = {}
        self.memory.take(self)

    def __del__(self) -> None:
        """Gives it back."""
        self.memory.free(self)


class Memory:
    """All of the card. Threads share it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.foreign = 0
        """Bytes that other processes have."""
        self.allocated = self.peak = self.peak_reserved = 0
        self.kept: Counter[Stream] = Counter()
        """Bytes in reserve, by the stream that they were freed for."""
        self.blocks: dict[int, weakref.ref[Block]] = {}
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self.hazards: list[str] = []
        """Work on memory that another stream may not be done with."""
        self.syncs: list[Sync] = []
        self.refuse: Callable[[int], bool] = lambda wanted: False
        """Says which allocations find nothing, whatever there is."""
        self.default = self.new_stream()
        self.local = threading.local()
        self.lock = threading.RLock()
        self.emptied = 0
        """Times that the reserve went back to the driver."""
        self.refused = 0
        """Allocations that found nothing."""

    @property
    def reserved(self) -> int:
        """What the driver says that this process has."""
        return self.allocated + self.kept.total()

    def new_stream(self, device: Any = None, priority: int = 0) -> Stream:
        """Stands in for the constructor of torch.cuda.Stream."""
        made = Stream(device, priority)
        self.streams.add(made)
        return made

    @property
    def stream(self) -> Stream:
        """That of the calling thread."""
        own: Stream = getattr(self.local, "stream", self.default)
        return own

    def take(self, block: Block) -> None:
        """Allocates. Raises torch.OutOfMemoryError."""
        with self.lock:
            wanted = block.bytes
            reused = min(self.kept[block.stream], wanted)
            if self.reserved - reused + wanted > self.capacity - self.foreign:
                self.kept.clear()
                reused = 0
            if self.refuse(wanted) or self.reserved - reused + wanted > self.capacity - self.foreign:
                block.bytes = 0
                self.refused += 1
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {wanted} bytes (emulated).")
            self.kept[block.stream] -= reused
            self.allocated += wanted
            self.peak = max(self.peak, self.allocated)
            self.peak_reserved = max(self.peak_reserved, self.reserved)
            self.blocks[block.storage._cdata] = weakref.ref(block)

    def free(self, block: Block) -> None:
        """Takes a block back; what another stream may still work on is a hazard: its own stream could hand it out at once."""
        with self.lock:
            if not block.bytes:
                return
            self.blocks.pop(block.storage._cdata, None)
            for stream, kernel in block.used.items():
                if not block.stream.knows(stream, kernel):
                    self.hazard(f"{block.bytes} bytes are freed while another stream works on them")
            self.allocated -= block.bytes
            self.kept[block.stream] += block.bytes
            block.bytes = 0

    def of(self, storage: torch.UntypedStorage) -> tuple[Block, bool]:
        """The block of `storage`, and whether it is new. Raises torch.OutOfMemoryError."""
        with self.lock:
            kept = self.blocks.get(storage._cdata)
            known = None if kept is None else kept()
            return (known, False) if known is not None else (Block(self, storage, self.stream), True)

    def runs(self, name: str, reads: list[Block], writes: list[Block]) -> None:
        """A kernel on the calling thread's stream."""
        with self.lock:
            stream = self.stream
            stream.queued += 1
            for block in [*reads, *writes]:
                if block.written is not None and not stream.knows(*block.written):
                    self.hazard(f"{name} meets what another stream has not written yet")
            for block in writes:
                for other, kernel in block.used.items():
                    if not stream.knows(other, kernel):
                        self.hazard(f"{name} overwrites what another stream still reads")
                block.written = stream, stream.queued
            for block in [*reads, *writes]:
                block.used[stream] = stream.queued

    def hazard(self, what: str) -> None:
        """Takes note of one."""
        self.hazards.append(f"{what}, thread {threading.current_thread().name}: {where()}")

    def sync(self, kind: str) -> None:
        """The host waits for the calling thread's stream."""
        with self.lock:
            self.stream.synchronize()
            self.syncs.append(Sync(kind, threading.current_thread().name, where()))

    def settle(self) -> None:
        """The host waits for everything."""
        with self.lock:
            for stream in list(self.streams):
                stream.synchronize()

    def empty(self) -> None:
        """What is in reserve goes back to the driver."""
        with self.lock:
            self.emptied += 1
            self.kept.clear()

    def reset_peak(self) -> None:
        """Peaks are counted from now on."""
        with self.lock:
            self.peak, self.peak_reserved = self.allocated, self.reserved


def where() -> str:
    """The nearest lines of the server and of the libraries."""
    frame, lines = sys._getframe(2), []
    while frame is not None and len(lines) < 4:
        name = frame.f_code.co_filename
        if any(part in name for part in ("imajin_servers", "diffusers", "transformers", "bench/")):
            lines.append(f"{name.rsplit('/', 1)[-1]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(lines)
