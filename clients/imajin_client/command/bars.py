"""Progress bars on stderr: one a piece of work, with its phase. Nothing is drawn where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from imajin_client.command.output import err
from imajin_client.progress import Progress


class Bars:
    """The bars of one command."""

    def __init__(self, drawn: RichProgress) -> None:
        self.drawn = drawn
        self.tasks: dict[str, TaskID] = {}

    def show(self, name: str, progress: Progress) -> None:
        """Moves the bar `name`, which is made when it is first shown."""
        base = f" · base {progress.base}/{progress.bases}" if progress.bases else ""
        left = f" · {progress.eta.total_seconds():.0f} s left" if progress.eta is not None else ""
        self.move(name, progress.fraction, f"{progress.label}{base}{left}")

    def move(self, name: str, fraction: float, text: str) -> None:
        """Moves the bar `name` to `fraction`, 0 to 1."""
        if name not in self.tasks:
            self.tasks[name] = self.drawn.add_task(name, total=1.0, phase="")
        self.drawn.update(self.tasks[name], completed=min(max(fraction, 0.0), 1.0), phase=text)

    def finish(self, name: str, text: str) -> None:
        """Fills the bar `name`."""
        self.move(name, 1.0, text)


@contextmanager
def bars(*, quiet: bool = False) -> Iterator[Bars]:
    """The bars, drawn while the block runs."""
    drawn = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[phase]}", markup=False),
        console=err,
        disable=quiet or not err.is_terminal,
    )
    with drawn:
        yield Bars(drawn)
