"""What drawing really took of a card, so that the next one leases that and no guess."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

MARGIN = 1.1
"""The allocator keeps somewhat more than it hands out."""


class Meter(Protocol):
    """Reads what is allocated, in bytes."""

    def reset(self) -> int:
        """Starts a new peak; what is allocated now."""
        ...

    def peak(self) -> int:
        """The most that was allocated since `reset`."""
        ...


class CudaMeter:
    """PyTorch's allocator of one card."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset(self) -> int:
        """See Meter."""
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def peak(self) -> int:
        """See Meter."""
        return torch.cuda.max_memory_allocated(self.device)


def meter(device: torch.device) -> Meter | None:
    """The meter of `device`; none for a CPU."""
    return CudaMeter(device) if device.type == "cuda" else None


class Alone:
    """Says which windows had the meter for themselves: a peak that two share belongs to neither. All models of a card share one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = 0
        self.crowds = 0
        """Grows when a window is opened beside another."""

    def enter(self) -> int | None:
        """Opens a window; its token, none where it isn't alone."""
        with self.lock:
            self.open += 1
            if self.open > 1:
                self.crowds += 1
                return None
            return self.crowds

    def leave(self, token: int | None) -> bool:
        """Closes a window; whether it was alone from end to end."""
        with self.lock:
            self.open -= 1
            return token is not None and token == self.crowds


ALONE = Alone()


class Peaks:
    """Measured peaks of one model. Without a meter nothing is ever known."""

    def __init__(self, meter: Meter | None, alone: Alone = ALONE) -> None:
        self.meter = meter
        self.alone = alone
        self.row: dict[tuple[int, int], int] = {}
        """Bytes that denoising took for a row of a size in pixels."""
        self.decode: dict[tuple[int, int], int] = {}

    @contextmanager
    def denoising(self, width: int, height: int, rows: int) -> Iterator[None]:
        """Measures a pass of `rows` rows."""
        with self.window(self.row, width, height, rows):
            yield

    @contextmanager
    def decoding(self, width: int, height: int) -> Iterator[None]:
        """Measures the making of one picture."""
        with self.window(self.decode, width, height, 1):
            yield

    @contextmanager
    def drawing(self, width: int, height: int, rows: int) -> Iterator[None]:
        """Measures a picture from its prompt to its pixels, of `rows` rows a pass: what can't be measured in parts."""
        with self.window(self.row, width, height, rows):
            yield
        if (width, height) in self.row:
            self.decode.setdefault((width, height), 0)

    @contextmanager
    def window(self, found: dict[tuple[int, int], int], width: int, height: int, rows: int) -> Iterator[None]:
        """Keeps the largest peak over what was allocated before, a row, where nothing else was measured at the time."""
        if self.meter is None:
            yield
            return
        token = self.alone.enter()
        before = self.meter.reset() if token is not None else 0
        alone = False
        try:
            yield
        finally:
            peak = self.meter.peak()
            alone = self.alone.leave(token)
        if alone:
            key = width, height
            found[key] = max(found.get(key, 0), -(-(peak - before) // rows))

    def need(self, width: int, height: int, rows: int) -> int | None:
        """Bytes of a generation of `rows` rows; none while the size wasn't both denoised and decoded."""
        row, decode = self.row.get((width, height)), self.decode.get((width, height))
        if row is None or decode is None:
            return None
        return round(max(row * rows, decode) * MARGIN)
