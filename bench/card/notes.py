"""The engine's notes go nowhere where structlog, which the servers write them with, isn't installed: a card's machine may have little."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace


def unwritten(*_: object, **__: object) -> None:
    """Drops a note."""


def dispensable() -> None:
    """Lets the servers be imported without structlog."""
    try:
        import structlog  # noqa: F401
    except ModuleNotFoundError:
        silent = ModuleType("structlog")
        levels = dict.fromkeys(("debug", "info", "warning", "error"), unwritten)
        silent.get_logger = lambda: SimpleNamespace(**levels)  # type: ignore[attr-defined]
        sys.modules["structlog"] = silent
