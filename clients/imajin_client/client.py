"""The client: every door of the suite, as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from imajin_client import health
from imajin_client.addresses import SERVERS
from imajin_client.calls import Wire
from imajin_client.describing import Describing
from imajin_client.editing import Editing
from imajin_client.generating import Generating
from imajin_client.health import Health
from imajin_client.jobs import AsyncJobs
from imajin_client.processing import Processing
from imajin_client.sizing import Sizing
from imajin_client.vram import AsyncVram


class AsyncClient(Describing, Generating, Sizing, Editing, Processing):
    """The suite, for coroutines. Use it in one event loop, as `async with AsyncClient() as client`.

    Addresses come from `addresses` (server to `host:port`), else IMAJIN_<SERVER>_ADDRESS, else imajin.toml, else
    loopback. Every call takes `timeout` in seconds; None waits for ever. A call that is dropped (its task cancelled, its
    stream left) is cancelled at the server, and its work ends; jobs go on. Errors are those of `imajin_client.errors`.
    """

    def __init__(self, addresses: Mapping[str, str] | None = None) -> None:
        super().__init__(Wire(addresses))
        self.jobs = AsyncJobs(self._wire)
        self.vram = AsyncVram(self._wire)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where this client calls each server."""
        return dict(self._wire.addresses)

    async def __aenter__(self) -> Self:
        """The client; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        await self.close()

    async def close(self) -> None:
        """Closes the connections; calls under way are cancelled."""
        await self._wire.close()

    async def health(self, *, timeout: float | None = 5) -> dict[str, Health]:
        """How each server answers. Never raises for one that does not."""
        found = await asyncio.gather(*(health.check(self._wire, server, timeout) for server in SERVERS))
        return {item.server: item for item in found}
