"""A suite for one command: the one that runs already, or one of its own that ends with the command."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from imajin_client.addresses import SERVERS, addresses, variable
from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.bars import bars
from imajin_client.errors import Unavailable

GATEWAY_VARIABLE = "IMAJIN_GATEWAY_ADDRESS"
GATEWAY = "127.0.0.1:8080"
STOP_SECONDS = 30.0
POLL_SECONDS = 0.2


@asynccontextmanager
async def suite(given: Mapping[str, str], log: Path, *, start_seconds: float) -> AsyncIterator[AsyncClient]:
    """A client of a suite that serves. One that is started here is stopped here, and writes its log into `log`.

    Raises Unavailable when it does not serve within `start_seconds`.
    """
    wanted = addresses(given)
    async with AsyncClient(wanted) as client:
        health = await client.health(timeout=2)
        if all(server.ok for server in health.values()):
            output.note("a suite is running already: it is used, and left running")
            yield client
            return
    if given:
        lost = ", ".join(f"{server.server} at {server.address}" for server in health.values() if not server.ok)
        raise Unavailable(f"no suite at the given addresses: {lost}", details={"server": "suite"})
    places: dict[str, str] = {**wanted, "gateway": os.environ.get(GATEWAY_VARIABLE, GATEWAY)}
    own = free_addresses(places)
    moved = {server: address for server, address in own.items() if address != places[server]}
    if moved:
        elsewhere = ", ".join(f"{server} at {address}" for server, address in moved.items())
        output.note(f"ports are taken; started elsewhere: {elsewhere}")
    async with started(own, log), AsyncClient({server: own[server] for server in SERVERS}) as client:
        await serving(client, log, start_seconds)
        yield client


def free_addresses(wanted: Mapping[str, str]) -> dict[str, str]:
    """Each address as wanted where it can be bound, else with a free port."""
    found: dict[str, str] = {}
    with ExitStack() as held:
        for name, address in wanted.items():
            host, _, port = address.rpartition(":")
            probe = held.enter_context(socket.socket())
            # As gRPC's own listeners do: a port that only waits out closed connections is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError:
                probe.bind((host, 0))
            found[name] = f"{host}:{probe.getsockname()[1]}"
    return found


@asynccontextmanager
async def started(own: Mapping[str, str], log: Path) -> AsyncIterator[None]:
    """`imajin up` as a child, ended with the block."""
    environment = {**os.environ, GATEWAY_VARIABLE: own["gateway"]}
    environment.update({variable(server): own[server] for server in SERVERS})
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as written:
        # A session of its own: Ctrl-C reaches this command alone, which then ends the suite in order.
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "imajin_client",
            "up",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    ended = asyncio.create_task(child.wait())
    body = asyncio.current_task()

    def fell(_: asyncio.Task[int]) -> None:
        if body is not None:
            body.cancel()

    ended.add_done_callback(fell)
    try:
        yield
    except asyncio.CancelledError:
        if ended.done() and body is not None and body.uncancel() <= 0:
            raise Unavailable(f"the suite ended by itself; its log is {log}", details={"server": "suite"}) from None
        raise
    finally:
        ended.remove_done_callback(fell)
        if not ended.done():
            await asyncio.shield(stop(child, ended))


async def stop(child: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    """Ends the suite in order, or by force when it does not end."""
    child.send_signal(signal.SIGTERM)
    await asyncio.wait({ended}, timeout=STOP_SECONDS)
    if not ended.done():
        os.killpg(child.pid, signal.SIGKILL)
        await asyncio.wait({ended})


async def serving(client: AsyncClient, log: Path, seconds: float) -> None:
    """Waits until every server serves, and shows each that does."""
    with bars() as drawn:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    health = await client.health(timeout=2)
                    ready = [server.server for server in health.values() if server.ok]
                    waiting = [server.server for server in health.values() if not server.ok]
                    text = f"waiting for {', '.join(waiting)}" if waiting else "serving"
                    drawn.move("suite", len(ready) / len(health), text)
                    if not waiting:
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise Unavailable(
                f"the suite did not serve within {seconds:.0f} s; its log is {log}", details={"server": "suite"}
            ) from None
