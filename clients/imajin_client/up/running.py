"""The whole of `imajin up`: settings, screen, supervisor, exit status."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO, cast

from pydantic import ValidationError
from rich.console import Console

from imajin_client.up.claim import claimed
from imajin_client.up.programs import Program, suite
from imajin_client.up.screen import Lossy, follow, screen
from imajin_client.up.settings import UpSettings
from imajin_client.up.supervisor import BAD_SETTINGS, GAVE_UP, supervise


def run_up(given: Mapping[str, str] | None = None, console: Console | None = None, **settings: Any) -> int:
    """Runs the suite until Ctrl-C or SIGTERM; returns the exit status (see `supervise`).

    `given` are addresses by server, `settings` those of UpSettings that the command line sets; None means not set.
    """
    console = console or Console(file=cast(TextIO, Lossy(sys.stdout)))
    try:
        config = UpSettings(**{name: value for name, value in settings.items() if value is not None})
        programs = suite(config, given)
    except (ValidationError, ValueError, OSError) as error:
        console.print(f"imajin up: bad settings: {error}", markup=False, highlight=False)
        return BAD_SETTINGS
    try:
        with claimed(config, [program.name for program in programs]):
            return asyncio.run(shown(config, programs, console))
    except OSError as error:
        # The system names a file, and not whose it is.
        hint = (
            f"; is {config.state_dir} a folder that can be written to? Else set IMAJIN_UP_STATE_DIR"
            if error.filename
            else ""
        )
        console.print(f"imajin up: {error}{hint}", markup=False, highlight=False, soft_wrap=True)
        return GAVE_UP


async def shown(config: UpSettings, programs: Sequence[Program], console: Console) -> int:
    """Supervises, with the states and, where wanted, the logs on the screen."""
    with screen(console) as shows:
        logs = {program.name: config.log_of(program.name) for program in programs}
        following = asyncio.create_task(follow(logs, console)) if config.verbose else None
        try:
            return await supervise(config, shows.show, programs)
        finally:
            if following is not None:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following
