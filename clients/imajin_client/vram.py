"""Memory of the cards: who has it, who waits, and leases on it. Reached as `client.vram`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from imajin.vram.v1 import vram_lease_pb2
from imajin_client.calls import RETRY_SECONDS, Calls, Stream
from imajin_client.errors import Unavailable
from imajin_client.filled import filled
from imajin_client.job import moment
from imajin_client.lease import GIB, AsyncLease, OnWaiting
from imajin_client.names import word


@dataclass(frozen=True)
class Device:
    """A card."""

    device_id: str
    """The card's UUID, or `simulated-0`."""
    name: str
    total_bytes: int
    leased_bytes: int
    available_bytes: int
    """What can still be leased: less than total minus leased where the driver shows other use."""
    simulated: bool


@dataclass(frozen=True)
class LeaseInfo:
    """A lease of anybody, held or waited for."""

    lease_id: str
    """Empty while it waits."""
    holder: str
    state: str
    """`waiting`, `held` or `revoking`."""
    bytes: int
    bytes_used: int
    """As the holder last said; 0 when it did not."""
    device_id: str
    priority: int
    preemptible: bool
    fencing_token: int
    position: int
    """Place in the line; 0 when held."""
    since: datetime | None
    expire_time: datetime | None
    idle: bool
    """Whether nobody needs the memory at the moment, as the holder last said."""
    group: str
    """Leases of one group lie on one card; empty for none."""


@dataclass(frozen=True)
class Cards:
    """The cards and their leases at one time."""

    devices: tuple[Device, ...]
    leases: tuple[LeaseInfo, ...]


class AsyncVram(Calls):
    """The vram server: cards and leases."""

    async def devices(self, *, timeout: float | None = 30) -> list[Device]:
        """The cards of the host."""
        call = self._wire.vram.ListDevices(vram_lease_pb2.ListDevicesRequest(), timeout=timeout)
        return [device(item) for item in (await self._wire.one("vram", call)).devices]

    async def leases(self, *, timeout: float | None = 30) -> list[LeaseInfo]:
        """Held leases, then waiting ones."""
        call = self._wire.vram.ListLeases(vram_lease_pb2.ListLeasesRequest(), timeout=timeout)
        return [lease_info(item) for item in (await self._wire.one("vram", call)).leases]

    def watch(self) -> Stream[Cards]:
        """Cards and leases now, and again after every change, until it is closed.

        A connection that breaks is taken up again, for about 15 seconds; then Unavailable is raised, and at once where there was none.
        """
        return Stream(self._watch())

    async def _watch(self) -> AsyncGenerator[Cards, None]:
        attempt = len(RETRY_SECONDS)
        while True:
            broken = Unavailable("the watch of the cards ended", details={"server": "vram"})
            async with aclosing(self._watch_once()) as changes:
                try:
                    async for cards in changes:
                        attempt = 0
                        yield cards
                except Unavailable as error:
                    broken = error
            if attempt == len(RETRY_SECONDS):
                raise broken
            await asyncio.sleep(RETRY_SECONDS[attempt])
            attempt += 1

    async def _watch_once(self) -> AsyncGenerator[Cards, None]:
        """One connection."""
        call = self._wire.vram.WatchLeases(vram_lease_pb2.WatchLeasesRequest())
        async with self._wire.many("vram", call) as answers:
            async for answer in answers:
                yield Cards(
                    tuple(device(item) for item in answer.devices), tuple(lease_info(item) for item in answer.leases)
                )

    def lease(
        self,
        *,
        gib: float = 0,
        bytes: int = 0,
        holder: str = "",
        device_id: str = "",
        priority: int | None = None,
        preemptible: bool = False,
        max_wait: float | None = None,
        ttl: float | None = None,
        group: str = "",
        on_waiting: OnWaiting | None = None,
    ) -> AsyncLease:
        """A lease of `gib` GiB, or of `bytes`, as `async with client.vram.lease(gib=8) as lease`.

        `max_wait` is the longest time in the line, `ttl` how long the lease lives without a heartbeat, both in seconds.
        Give `preemptible=True` where the work can stop within seconds when `lease.revoked` is set: another gets the memory
        at once when its priority is higher or `lease.report(idle=True)` was said, and in turn when its priority is the same.
        Leases of one `group` lie on one card, and none is asked back for another of them. `on_waiting` is called with the place
        in the line and the bytes free whenever the place changes.
        """
        amount = bytes or round(gib * GIB)
        if amount <= 0:
            raise ValueError("say how much: gib=8, or bytes=8 * 1024**3")
        ask = filled(
            vram_lease_pb2.Acquire,
            bytes=amount,
            device_id=device_id,
            priority=priority,
            preemptible=preemptible,
            holder=holder or f"client/{os.getpid()}",
            max_wait=None if max_wait is None else timedelta(seconds=max_wait),
            ttl=None if ttl is None else timedelta(seconds=ttl),
            group=group,
        )
        return AsyncLease(self._wire, ask, on_waiting)


def device(item: vram_lease_pb2.Device) -> Device:
    """From the contract's message."""
    return Device(
        device_id=item.device_id,
        name=item.name,
        total_bytes=item.total_bytes,
        leased_bytes=item.leased_bytes,
        available_bytes=item.available_bytes,
        simulated=item.simulated,
    )


def lease_info(item: vram_lease_pb2.Lease) -> LeaseInfo:
    """From the contract's message."""
    return LeaseInfo(
        lease_id=item.lease_id,
        holder=item.holder,
        state=word(vram_lease_pb2.LeaseState, item.state),
        bytes=item.bytes,
        bytes_used=item.bytes_used,
        device_id=item.device_id,
        priority=item.priority,
        preemptible=item.preemptible,
        fencing_token=item.fencing_token,
        position=item.position,
        since=moment(item, "since"),
        expire_time=moment(item, "expire_time"),
        idle=item.idle,
        group=item.group,
    )
