"""`imajin up`: the whole suite, supervised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imajin_client.command import running


def up(
    only: Annotated[
        list[str] | None, typer.Option(help="Only these servers, comma-separated; may be repeated.")
    ] = None,
    verbose: Annotated[bool | None, typer.Option("--verbose", "-v", help="Show the servers' logs too.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of the logs; .imajin by default.")] = None,
    with_parent: Annotated[
        bool | None, typer.Option("--with-parent", help="Stop when the process that started this one dies.")
    ] = None,
) -> None:
    """Start every server and the gateway, keep them running, and stop them on Ctrl-C.

    Exit status 0 after Ctrl-C or SIGTERM, 1 when a server failed too often, 2 on bad settings, 3 when an address is taken.
    """
    # The supervisor imports only here: every other subcommand starts without it.
    from imajin_client.up import run_up

    status = run_up(
        running.given.get(),
        only=",".join(only) if only else None,
        verbose=verbose,
        state_dir=state_dir,
        with_parent=with_parent,
    )
    raise typer.Exit(status)
