"""`python -m imajin_servers.vram`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence

from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime.server import Lifetime, Service, run
from imajin_servers.vram.desk import Clock, Desk
from imajin_servers.vram.devices import DriverFailed, devices
from imajin_servers.vram.journal import Journal
from imajin_servers.vram.ledger import Ledger
from imajin_servers.vram.messages import Messages
from imajin_servers.vram.servicer import VramLeaseServicer
from imajin_servers.vram.settings import VramSettings


class SystemClock:
    """The host's monotonic clock."""

    def now(self) -> float:
        """The time, in seconds."""
        return time.monotonic()

    async def sleep_until(self, moment: float) -> None:
        """Returns when `moment` has come."""
        await asyncio.sleep(moment - self.now())


@contextlib.asynccontextmanager
async def build(
    settings: VramSettings, lifetime: Lifetime, clock: Clock | None = None, today: Callable[[], float] = time.time
) -> AsyncIterator[Sequence[Service]]:
    """The services of this server. `today` is the time of day in seconds since the epoch."""
    clock = clock or SystemClock()
    with devices(settings.cards, settings.simulated_bytes, settings.simulated_cards) as found:
        ledger = Ledger(
            found.cards,
            clock.now,
            lambda: secrets.token_hex(8),
            settings.rules(),
            # The time of day, so that tokens grow over restarts too; a journal sees to it where the clock was set back.
            first_token=round(today() * 1e6),
        )
        journal = Journal(settings.journal) if settings.journal else None
        desk = Desk(ledger, clock, found.drivers, settings.poll_seconds, journal)
        async with desk.open():
            draining = asyncio.create_task(drain(desk, lifetime, settings.drain_seconds))
            servicer = VramLeaseServicer(desk, Messages(clock.now, today), settings.watch_seconds, lifetime.draining)
            try:
                yield [
                    Service(
                        "imajin.vram.v1.VramLeaseService",
                        vram_lease_pb2_grpc.add_VramLeaseServiceServicer_to_server,
                        servicer,
                    )
                ]
            finally:
                draining.cancel()
                if journal is not None and desk.ledger.draining:
                    # Whoever has not given back by now has lost it.
                    journal.write([], ledger.next_token)


async def drain(desk: Desk, lifetime: Lifetime, grace: float) -> None:
    """Asks everything back once the server shuts down."""
    await lifetime.draining.wait()
    desk.drain(grace)


def main() -> None:
    """Runs the server. Exit status 2 where the cards that the settings name are not there."""
    try:
        run("vram", VramSettings, build)
    except DriverFailed as error:
        print(f"imajin vram: {error}; set IMAJIN_VRAM_CARDS", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
