"""A suite for one command: the one that runs already, or one of its own that ends with the command."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imajin_client.addresses import SERVERS, addresses, variable
from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.bars import bars
from imajin_client.errors import Unavailable
from imajin_client.up.programs import GATEWAY, gateway_address

STOP_SECONDS = 30.0
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Suite:
    """A suite that runs or starts."""

    client: AsyncClient
    folder: Path
    """Of its logs and jobs, where it was started here."""
    start_seconds: float
    """How long servers may take to serve."""

    async def serves(self, names: Collection[str] = SERVERS, *, quiet: bool = False) -> None:
        """Waits until the servers in `names` serve. Raises Unavailable when they take too long."""
        with bars(quiet=quiet) as drawn:
            try:
                async with asyncio.timeout(self.start_seconds):
                    while True:
                        health = await self.client.health(timeout=2)
                        waiting = [name for name in names if not health[name].ok]
                        text = f"waiting for {', '.join(waiting)}" if waiting else "serving"
                        drawn.move("suite", 1 - len(waiting) / len(names), text)
                        if not waiting:
                            return
                        await asyncio.sleep(POLL_SECONDS)
            except TimeoutError:
                raise Unavailable(
                    f"the suite did not serve within {self.start_seconds:.0f} s; its logs are in {self.folder}",
                    details={"server": "suite"},
                ) from None


@asynccontextmanager
async def suite(given: Mapping[str, str], folder: Path, *, start_seconds: float) -> AsyncIterator[Suite]:
    """The suite that runs, or one that starts now, ends with the block, and keeps its logs and jobs in `folder`."""
    wanted = addresses(given)
    async with AsyncClient(wanted) as client:
        health = await client.health(timeout=2)
        if all(server.ok for server in health.values()):
            output.note("a suite is running already: it is used, and left running")
            yield Suite(client, folder, start_seconds)
            return
    if given:
        lost = ", ".join(f"{server.server} at {server.address}" for server in health.values() if not server.ok)
        raise Unavailable(f"no suite at the given addresses: {lost}", details={"server": "suite"})
    places = {**wanted, GATEWAY: gateway_address()}
    own = free_addresses(places)
    moved = [f"{server} at {address}" for server, address in own.items() if address != places[server]]
    if moved:
        output.note(f"ports are taken; started elsewhere: {', '.join(moved)}")
    async with started(own, folder), AsyncClient({server: own[server] for server in SERVERS}) as client:
        yield Suite(client, folder, start_seconds)


def free_addresses(wanted: Mapping[str, str]) -> dict[str, str]:
    """Each address as wanted where it can be bound, else with a free port."""
    found: dict[str, str] = {}
    with ExitStack() as held:
        for name, address in wanted.items():
            host, _, port = address.rpartition(":")
            probe = held.enter_context(socket.socket())
            # As the servers' own listeners do: a port that only waits out closed connections is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError:
                probe.bind((host, 0))
            found[name] = f"{host}:{probe.getsockname()[1]}"
    return found


@asynccontextmanager
async def started(own: Mapping[str, str], folder: Path) -> AsyncIterator[None]:
    """`imajin up` as a child, ended with the block. Raises Unavailable in the block's place when it ends by itself."""
    with log_in(folder) as log:
        # A session of its own: Ctrl-C reaches this command alone, which then ends the suite in order.
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imajin_client", "up", "--with-parent"),
            env=environment(own, folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
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
            text = f"the suite ended by itself; {folder / 'suite.log'} says why"
            raise Unavailable(text, details={"server": "suite"}) from None
        raise
    finally:
        ended.remove_done_callback(fell)
        if not ended.done():
            await asyncio.shield(stop(child, ended))


def log_in(folder: Path) -> BinaryIO:
    """What `imajin up` says, in a file of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / "suite.log").open("wb")


def environment(own: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of a suite at the addresses `own`, with everything that it keeps in `folder`."""
    return {
        # Its jobs lie apart from those of a suite that is started in the same place otherwise.
        "IMAJIN_ORCHESTRATOR_DATA_DIR": str(folder.resolve() / "data"),
        **os.environ,
        "IMAJIN_UP_STATE_DIR": str(folder.resolve()),
        **{variable(name): address for name, address in own.items()},
    }


async def stop(child: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    """Ends the suite in order, or by force when it does not end."""
    output.note("stopping the suite")
    child.send_signal(signal.SIGTERM)
    await asyncio.wait({ended}, timeout=STOP_SECONDS)
    if not ended.done():
        # Its session is its own, so this reaches whatever it started and nothing else.
        os.killpg(child.pid, signal.SIGKILL)
        await asyncio.wait({ended})
