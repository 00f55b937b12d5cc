"""Structured logs: one line an event, with the ids of the request and the job that it belongs to."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import TextIO, cast

import structlog


class Forgiving(io.TextIOBase):
    """`stream`, but a line that can't be written is lost: a full disk, or a reader that is gone, must not fail calls."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes `text` if it can."""
        with contextlib.suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Passes on what is buffered if it can."""
        with contextlib.suppress(OSError):
            self.stream.flush()


def configure(server: str, level: str, json: bool | None) -> None:
    """Sets up logging of this process: text on a terminal, JSON lines elsewhere, both on standard error."""
    as_json = not sys.stderr.isatty() if json is None else json
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(
                [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
                if as_json
                else [structlog.dev.ConsoleRenderer()]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, Forgiving(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(server=server)
