"""Where measurements are kept: one JSON and one Markdown file a bench, with the command and the machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
Cell = str | float | int


def write(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str = "") -> None:
    """Writes bench/results/`name`.json and .md and prints the table. Floats are shown with three significant digits."""
    FOLDER.mkdir(exist_ok=True)
    command = " ".join(["python", *sys.argv])
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    document = {
        "title": title,
        "command": command,
        "machine": machine,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "note": note,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    lines = [f"# {title}", "", f"`{command}` on {machine}", "", table(columns, rows)]
    if note:
        lines += ["", note]
    (FOLDER / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table."""
    shown = [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join(["| " + " | ".join(line) + " |" for line in [list(columns), ["---"] * len(columns), *shown]])
