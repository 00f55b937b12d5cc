"""One run of one program: a process group of its own, its log in a file, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import BinaryIO

from imajin_client.up import tether
from imajin_client.up.programs import Program

LAST_BYTES = 8192
ADVERTISEMENT = "For further information visit"
"""Pydantic ends each of its complaints with this."""


class Child:
    """A process that runs."""

    def __init__(self, process: Process, log: Path, log_start: int) -> None:
        self.process = process
        self.log = log
        self.log_start = log_start

    @classmethod
    async def start(cls, program: Program, log: Path, log_bytes: int) -> Child:
        """Starts `program` and appends what it writes to `log`, which is put aside first where it is too long."""
        with open_log(log, log_bytes) as written:
            log_start = written.tell()
            process = await asyncio.create_subprocess_exec(
                # Isolated and without site-packages: the tether needs nothing, and is gone in some milliseconds.
                *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid())),
                *program.command,
                stdin=DEVNULL,
                stdout=written,
                stderr=written,
                env=dict(program.environment),
                # Ctrl-C reaches the supervisor alone, which stops the suite in order.
                process_group=0,
            )
        return cls(process, log, log_start)

    async def ended(self) -> int:
        """Waits for its end; its exit status, or minus the signal. Nothing of its group is left."""
        status = await self.process.wait()
        self.kill_group()
        return status

    def tell_where(self) -> None:
        """Has it write to its log where each of its threads is; one that knows nothing of this would end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGUSR1)

    async def stop(self, seconds: float) -> None:
        """Asks it to end, and kills it where that takes longer than `seconds`."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            pass
        finally:
            self.kill_group()
        await self.process.wait()

    def kill_group(self) -> None:
        """Kills it, and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def last_words(self, name: str) -> str:
        """What this run wrote last, on one line: from the server's own `imajin NAME: ...` on, or else its last line.

        Empty where somebody took the log away.
        """
        try:
            with self.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self.log_start, end - LAST_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        lines = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(ADVERTISEMENT)]
        own = [index for index, line in enumerate(lines) if line.startswith(f"imajin {name}: ")]
        return " ".join(lines[own[-1] :] if own else lines[-1:])


def open_log(log: Path, log_bytes: int) -> BinaryIO:
    """Opens `log` to append; puts it aside first where it is longer than `log_bytes`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.is_file() and log.stat().st_size > log_bytes:
        log.replace(log.with_suffix(".log.1"))
    return log.open("ab")


def how_it_ended(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
