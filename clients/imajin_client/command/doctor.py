"""`imajin doctor`: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import asyncio
import platform
import sys
from collections.abc import Iterable

from imajin_client.addresses import addresses
from imajin_client.client import AsyncClient
from imajin_client.command import output, running
from imajin_client.command.checks import Check, engines, hardware, models, packages
from imajin_client.command.running import Exit, run
from imajin_client.up.metrics import metrics_addresses
from imajin_client.up.programs import GATEWAY, gateway_address

STYLES = {"ok": "green", "note": "yellow", "missing": "red"}


def doctor(as_json: output.Json = False) -> None:
    """Check Python, extras, models, libraries, cards and servers. Exit status 1 when something is missing."""

    async def work(client: AsyncClient) -> int:
        found = [python(), *packages(), *models(), *hardware(), *await servers(client), await metrics(), *engines()]
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


async def metrics() -> Check:
    """Where Prometheus can read the programs that run."""
    places = metrics_addresses({**addresses(running.given.get()), GATEWAY: gateway_address()})
    answers = await asyncio.gather(*(answers_at(place) for place in places.values()))
    found = [
        f"{name} http://{place}/metrics" for (name, place), there in zip(places.items(), answers, strict=True) if there
    ]
    if found:
        return Check("metrics", "ok", ", ".join(found))
    return Check("metrics", "note", "nowhere to be read", "docs/metrics.md says how to serve them")


async def answers_at(place: str) -> bool:
    """Whether Prometheus would find metrics at `place`."""
    try:
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection(*place.rsplit(":", 1))
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            line = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return line.split(b" ")[1:2] == [b"200"]


def tell(checks: Iterable[Check]) -> None:
    """Prints the checks for people."""
    for check in checks:
        mark = f"[{STYLES[check.state]}]{check.state:<8}[/]"
        output.out.print(mark, end="")
        output.out.print(f"{check.name:<22}{check.text}", markup=False, soft_wrap=True)
        if check.hint:
            output.out.print(f"{'':30}{check.hint}", markup=False, soft_wrap=True, style="dim")
