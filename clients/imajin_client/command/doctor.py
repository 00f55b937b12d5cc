"""`imajin doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.checks import Check, engines, hardware, models, packages
from imajin_client.command.running import Exit, run

STYLES = {"ok": "green", "note": "yellow", "missing": "red"}


def doctor(as_json: output.Json = False) -> None:
    """Check Python, extras, models, libraries, cards and servers. Exit status 1 when something is missing."""

    async def work(client: AsyncClient) -> int:
        found = [python(), *packages(), *models(), *hardware(), *await servers(client), *engines()]
        if as_json:
            output.document(found)
        else:
            tell(found)
        return Exit.FAILED if any(check.state == "missing" for check in found) else Exit.OK

    run(work, as_json=as_json)


def python() -> Check:
    """The interpreter; pip has refused one that is too old."""
    return Check("python", "ok", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}")


async def servers(client: AsyncClient) -> list[Check]:
    """Whether each server answers. A suite that is not running is nothing that is missing."""
    found = []
    for name, server in (await client.health(timeout=3)).items():
        if server.ok:
            text = f"serving at {server.address}, {server.round_trip_ms:.0f} ms"
            found.append(Check(f"server {name}", "ok", text))
        else:
            hint = f"`imajin up` starts the suite; IMAJIN_{name.upper()}_ADDRESS says where it is"
            found.append(Check(f"server {name}", "note", f"{server.state} at {server.address}", hint))
    return found


def tell(checks: Iterable[Check]) -> None:
    """Prints the checks for people."""
    for check in checks:
        mark = f"[{STYLES[check.state]}]{check.state:<8}[/]"
        output.out.print(mark, end="")
        output.out.print(f"{check.name:<22}{check.text}", markup=False, soft_wrap=True)
        if check.hint:
            output.out.print(f"{'':30}{check.hint}", markup=False, soft_wrap=True, style="dim")
