"""One connection of a client: as uvicorn has it, but whoever sends the head of a request too slowly loses it."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn waits for ever for the first request, and for the rest of a head that has begun."""

    head_seconds = 20.0
    head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a head."""
        super().connection_made(transport)
        self.wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Takes bytes; waits on while they make no whole head."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self.wait_for_head()
        else:
            self.head_arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the timer."""
        self.head_arrived()
        super().connection_lost(exc)

    def wait_for_head(self) -> None:
        """Starts the timer, once for each head."""
        if self.head_timer is None:
            self.head_timer = asyncio.get_running_loop().call_later(self.head_seconds, self.transport.close)

    def head_arrived(self) -> None:
        """Stops the timer."""
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None


def patient(seconds: float) -> type[Connection]:
    """Connections that wait for `seconds`."""
    return type("Connection", (Connection,), {"head_seconds": seconds})
