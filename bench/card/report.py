"""Figures as they come: printed at once, kept for the end."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any

import torch


class Report:
    """Rows as they come, printed at once, kept for the end."""

    def __init__(self, model: str, until: float) -> None:
        self.model = model
        self.began = time.monotonic()
        self.until = until
        self.rows: list[dict[str, Any]] = []

    def row(self, part: str, what: str, value: float | str | bool, unit: str = "") -> None:
        """Adds a figure."""
        self.rows.append({"model": self.model, "part": part, "what": what, "value": value, "unit": unit})
        print(f"| {self.model} | {part} | {what} | {shown(value)} | {unit} |", flush=True)

    def failed(self, part: str, error: Exception) -> None:
        """Adds what ended a part; its traceback is printed."""
        traceback.print_exception(error)
        self.row(part, "failed", f"{type(error).__name__}: {str(error)[:200]}")

    def run(self, name: str, work: Callable[[], None]) -> None:
        """Runs a part; its failure is a row."""
        if time.monotonic() > self.until:
            self.row(name, "left out", "no time left")
            return
        try:
            work()
        except Exception as error:
            self.failed(name, error)
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def shown(value: float | str | bool) -> str:
    """A cell of the table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
