"""`imajin up`: the whole suite, supervised."""

from __future__ import annotations

import typer

from imajin_client.command import running


def up() -> None:
    """Start every server and the gateway, keep them running, and stop them on Ctrl-C."""
    from imajin_client.up import run_up

    raise typer.Exit(run_up(running.given))
