"""What the command prints: results on stdout, everything else on stderr; JSON where it is asked for."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from imajin_client.errors import ImajinError

Json = Annotated[bool, typer.Option("--json", help="Machine output: one JSON document on stdout and nothing else.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Machine output: one JSON object a line for each event.")]
Events = Annotated[bool, typer.Option("--events", help="Machine output: one JSON object a line for each event.")]

HINTS = {
    "SERVER_UNAVAILABLE": "start the suite with `imajin up`, look with `imajin doctor`, or say where it is with --at",
    "DRAINING": "the server is shutting down; try again when it is back",
    "MODEL_NOT_FOUND": "`imajin models` lists the models",
    "NOT_FOUND": "`imajin sizes` lists the named sizes and families",
    "JOB_NOT_FOUND": "`imajin jobs list` lists the jobs",
    "JOB_NOT_FINISHED": "`imajin jobs watch JOB` waits for it",
    "GPU_OOM": "ask for less, or see who holds the card with `imajin vram list`",
    "CONTENT_REJECTED": "moderation refused it; say it differently",
    "LLM_TIMEOUT": "give it more time with --timeout, or ask for fewer prompts with --count",
    "LLM_FAILED": "look into the log of the prompt server, and at its engine with `imajin doctor`",
    "DEADLINE": "give it more time with --timeout",
    "INTERNAL": "a fault of the suite; the server's log has a line with this error_id",
}
"""What to do about an error, by reason."""

PIPED_COLUMNS = 240
"""Width of tables that go into a pipe: nothing is cut there."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_COLUMNS)
err = Console(stderr=True, highlight=False)


def plain(value: Any) -> Any:
    """`value` for JSON: dataclasses as objects, times as ISO 8601, durations in seconds; image bytes are left out."""
    if isinstance(value, ImajinError):
        return {"error": value.message, "code": value.reason, "details": value.details}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: plain(item) for name, item in fields if not isinstance(item, bytes)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return round(value, 6)
    return value


def document(value: Any) -> None:
    """Prints one JSON document: indented for a terminal, on one line for a program."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
    print(text, flush=True)


def line(kind: str, value: Any) -> None:
    """Prints one event as a line of JSON, with its kind in `event`."""
    print(json.dumps({"event": kind, **plain(value)}, ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """Says something beside the result."""
    err.print(escape(text), style="dim")


def fault(error: ImajinError, *, as_json: bool) -> None:
    """Prints an error of the suite with its reason, its facts and a hint."""
    hint = HINTS.get(error.reason, "")
    if as_json:
        told = {**plain(error), "retry_after": error.retry_after, "hint": hint}
        told["violations"] = [plain(item) for item in error.violations]
        print(json.dumps(told, ensure_ascii=False), file=sys.stderr, flush=True)
        return
    err.print(f"[bold red]{escape(error.reason)}[/] {escape(error.message)}", soft_wrap=True)
    for violation in error.violations:
        err.print(f"  {escape(violation.field)}: {escape(violation.description)}", soft_wrap=True)
    if error.details:
        facts = ", ".join(f"{key}={value}" for key, value in error.details.items() if key != "text")
        err.print(f"  {escape(facts)}", style="dim", soft_wrap=True)
    if error.retry_after is not None:
        err.print(f"  try again in {error.retry_after:.0f} s", style="dim")
    if hint:
        err.print(f"  {escape(hint)}", style="dim", soft_wrap=True)


def complain(text: str, *, as_json: bool) -> None:
    """Prints a fault of the command line or of a local file."""
    if as_json:
        print(json.dumps({"error": text, "code": "USAGE", "details": {}}, ensure_ascii=False), file=sys.stderr)
    else:
        err.print(f"[bold red]error[/] {escape(text)}", soft_wrap=True)


def table(*columns: str) -> Table:
    """An empty table; columns that end in `>` are aligned to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left")
    return made


def row(to: Table, *cells: object) -> None:
    """Adds a row of plain text."""
    to.add_row(*(escape(str(cell)) for cell in cells))


def size_of(count: float) -> str:
    """`count` bytes for people, such as `1.5 MiB`: the units that leases are asked for in."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
