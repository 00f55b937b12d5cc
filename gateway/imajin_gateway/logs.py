"""Structured logs: one line an event, with the id of the request that it belongs to. The servers log in the same form."""

from __future__ import annotations

import logging
import sys

import structlog


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
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(server=server)
