"""What a supervisor knows about each of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Phase(StrEnum):
    """Where a process is."""

    WAITING = "waiting"
    """For the ones that it needs."""
    STARTING = "starting"
    SERVING = "serving"
    CRASHED = "crashed"
    """Ended by itself; starts again after a pause."""
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """Will not be started again; the suite stops."""


@dataclass(frozen=True)
class ServerState:
    """One process of the suite."""

    name: str
    address: str
    """`host:port`."""
    log: Path
    phase: Phase = Phase.WAITING
    pid: int | None = None
    restarts: int = 0
    detail: str = ""
    """Why it is so, in words: how it ended, when it starts again, the last line that it wrote."""
