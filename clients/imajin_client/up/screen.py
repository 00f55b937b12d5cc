"""States on the screen: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from imajin_client.up.programs import GATEWAY
from imajin_client.up.state import Phase, ServerState

COLOURS: Mapping[Phase, str] = {
    Phase.WAITING: "dim",
    Phase.STARTING: "cyan",
    Phase.SERVING: "green",
    Phase.CRASHED: "red",
    Phase.RESTARTING: "yellow",
    Phase.STOPPING: "yellow",
    Phase.STOPPED: "dim",
    Phase.FAILED: "bold red",
}
READ_SECONDS = 0.2


class Lossy:
    """`stream`, but what can't be written is lost: a full disk, or a pipe that nobody reads, must not stop the suite."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.encoding = stream.encoding

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Its descriptor, which knows how wide a terminal is."""
        return self.stream.fileno()

    def write(self, text: str) -> int:
        """Writes `text` if it can."""
        with contextlib.suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Passes on what is buffered if it can."""
        with contextlib.suppress(OSError):
            self.stream.flush()


class Screen(Protocol):
    """Shows states."""

    def show(self, states: list[ServerState]) -> None:
        """Shows the state of all servers."""
        ...


class LiveTable:
    """A table that is drawn anew at each change."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.announced = False

    def show(self, states: list[ServerState]) -> None:
        """Draws the table, and the addresses above it once everything serves."""
        table = Table("server", "state", "address", "pid", "restarts", "", box=None, pad_edge=False)
        for state in states:
            colour = COLOURS[state.phase]
            pid = str(state.pid or "")
            restarts = str(state.restarts or "")
            table.add_row(state.name, f"[{colour}]{state.phase}[/]", state.address, pid, restarts, escape(state.detail))
        self.live.update(table, refresh=True)
        if not self.announced and all_serve(states):
            self.announced = True
            self.live.console.print(welcome(states))


class Lines:
    """A line for each change."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shown: dict[str, ServerState] = {}
        self.announced = False

    def show(self, states: list[ServerState]) -> None:
        """Prints what differs from what was printed before."""
        for state in states:
            if self.shown.get(state.name) != state:
                self.shown[state.name] = state
                pid = f" (pid {state.pid})" if state.pid else ""
                detail = f": {state.detail}" if state.detail else ""
                line = f"{state.name} {state.phase} at {state.address}{pid}{detail}"
                self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        if not self.announced and all_serve(states):
            self.announced = True
            self.console.print(welcome(states), markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def screen(console: Console) -> Iterator[Screen]:
    """The screen that fits where the output goes."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield LiveTable(live)


def all_serve(states: list[ServerState]) -> bool:
    """Whether everything is up."""
    return all(state.phase is Phase.SERVING for state in states)


def welcome(states: list[ServerState]) -> str:
    """Where everything is, once it serves."""
    places = {state.name: state.address for state in states}
    gateway = places.pop(GATEWAY, None)
    front = f"imajin serves at http://{gateway}" if gateway else "imajin serves"
    behind = ", ".join(f"{name} {address}" for name, address in places.items())
    return f"{front} (gRPC: {behind}). Ctrl-C stops it." if behind else f"{front}. Ctrl-C stops it."


async def follow(logs: Mapping[str, Path], console: Console) -> None:
    """Prints what is written to `logs` from now on, each line with the name of its server."""
    places = {name: log.stat().st_size if log.is_file() else 0 for name, log in logs.items()}
    width = max(map(len, logs), default=0)
    while True:
        for name, log in logs.items():
            for line in await asyncio.to_thread(read_on, log, places, name):
                console.print(f"{name:<{width}} | {line}", markup=False, highlight=False, soft_wrap=True)
        await asyncio.sleep(READ_SECONDS)


def read_on(log: Path, places: dict[str, int], name: str) -> list[str]:
    """The whole lines behind the place that was read to before; from the start where the log was put aside."""
    if not log.is_file():
        return []
    with log.open("rb") as opened:
        if opened.seek(0, os.SEEK_END) < places[name]:
            places[name] = 0
        opened.seek(places[name])
        whole, newline, _ = opened.read().rpartition(b"\n")
    places[name] += len(whole) + len(newline)
    return whole.decode(errors="replace").splitlines()
