"""How every subcommand runs: the client around it, signals that cancel its work, and errors as exit statuses."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from enum import IntEnum
from types import MappingProxyType
from typing import Any, NoReturn

import typer

from imajin_client import addresses
from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.errors import Draining, ImajinError, LlmFailed, Unavailable


class Exit(IntEnum):
    """Exit statuses of the command."""

    OK = 0
    FAILED = 1
    """The suite answered with a typed error."""
    USAGE = 2
    """The command line, a setting or a local file is wrong."""
    UNREACHABLE = 3
    """A server can't be reached, or is shutting down."""
    NOT_GENERATED = 4
    """Nothing says that a model made the image. Of `imajin verify` alone."""
    BROKEN = 5
    """The image's manifest is broken, or the image was changed after it was signed. Of `imajin verify` alone."""
    INTERRUPTED = 130
    """Ctrl-C; the work was cancelled."""
    TERMINATED = 143
    """SIGTERM; the work was cancelled."""


given: ContextVar[Mapping[str, str]] = ContextVar("given", default=MappingProxyType({}))
"""Addresses of the command line by server, for the command that runs."""


def use_addresses(pairs: list[str]) -> None:
    """Takes `SERVER=HOST:PORT` pairs of the command line. Raises BadParameter."""
    found: dict[str, str] = {}
    for pair in pairs:
        server, sign, address = pair.partition("=")
        if server not in addresses.SERVERS or not sign or ":" not in address:
            raise typer.BadParameter(
                f"{pair!r} is no SERVER=HOST:PORT; servers: {', '.join(addresses.SERVERS)}", param_hint="--at"
            )
        found[server] = address
    given.set(found)


def connect() -> AsyncClient:
    """A client at the addresses of the command line, the environment and the settings file."""
    return AsyncClient(given.get())


def run(work: Callable[[AsyncClient], Coroutine[Any, Any, int | None]], *, as_json: bool = False) -> NoReturn:
    """Runs `work` with a client and exits with its status. Ctrl-C and SIGTERM cancel it and wait until it has let go."""

    async def connected() -> int | None:
        async with connect() as client:
            return await work(client)

    run_plain(connected, as_json=as_json)


def run_plain(work: Callable[[], Coroutine[Any, Any, int | None]], *, as_json: bool = False) -> NoReturn:
    """The same without a client."""
    terminated = False

    async def until_signal() -> int | None:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        return await work()

    try:
        status = asyncio.run(until_signal()) or Exit.OK
    except KeyboardInterrupt:
        output.note("interrupted; the work was cancelled")
        status = Exit.INTERRUPTED
    except asyncio.CancelledError:
        status = Exit.TERMINATED if terminated else Exit.INTERRUPTED
    except ImajinError as error:
        output.fault(error, as_json=as_json)
        status = exit_status(error)
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not complain about it at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = Exit.OK
    except (OSError, ValueError) as error:
        output.complain(str(error), as_json=as_json)
        status = Exit.USAGE
    raise typer.Exit(int(status))


def exit_status(error: ImajinError) -> Exit:
    """The exit status for an error of the suite."""
    unreachable = isinstance(error, (Unavailable, Draining)) and not isinstance(error, LlmFailed)
    return Exit.UNREACHABLE if unreachable else Exit.FAILED
