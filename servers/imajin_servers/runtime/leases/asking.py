"""Asking for a lease: the wait in the line, and leaving it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import ServerUnavailable
from imajin_servers.runtime.leases.held import HeldLease, OnWaiting, read, tell

WITHDRAW_SECONDS = 5.0
"""How long leaving the line may take before the call is cut."""

if TYPE_CHECKING:
    from imajin_servers.runtime.leases.held import Call


class LeaseClient:
    """Asks the vram server behind `channel` for leases."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = vram_lease_pb2_grpc.VramLeaseServiceStub(channel)

    async def acquire(
        self,
        bytes: int,
        *,
        holder: str,
        priority: int | None = None,
        preemptible: bool = False,
        device_id: str = "",
        max_wait: float | None = None,
        ttl: float | None = None,
        group: str = "",
        on_waiting: OnWaiting | None = None,
    ) -> HeldLease:
        """Waits for `bytes` of a card, `max_wait` seconds at most, and holds them. See the module for what it raises.

        Leases of one `group` lie on one card, and none is asked back for another of them.
        """
        ask = pb.Acquire(
            bytes=bytes,
            holder=holder,
            priority=priority,
            preemptible=preemptible,
            device_id=device_id,
            max_wait=None if max_wait is None else timedelta(seconds=max_wait),
            ttl=None if ttl is None else timedelta(seconds=ttl),
            group=group,
        )
        try:
            try:
                return await self.hold(ask, on_waiting)
            except grpc.aio.AioRpcError as error:
                if error.details() != status.ENDED_DURING_A_WRITE:
                    raise
            # The server's reason comes with the answer to a second try.
            return await self.hold(ask, on_waiting)
        except grpc.aio.AioRpcError as error:
            raise status.from_call(error, "vram") from None

    async def hold(self, ask: pb.Acquire, on_waiting: OnWaiting | None) -> HeldLease:
        """Asks once, on a stream of its own. Raises AioRpcError as it comes."""
        call = self.stub.HoldLease()
        # A task of its own: grpc cancels the whole call when a read of it is cancelled, and then nothing can be withdrawn.
        asked = asyncio.Event()
        asking = asyncio.create_task(grant(call, ask, asked, on_waiting))
        try:
            granted = await asyncio.shield(asking)
        except asyncio.CancelledError:
            await withdraw(call, asked, asking)
            raise
        except BaseException:
            call.cancel()
            raise
        return HeldLease(self.stub, call, granted, on_waiting)


async def grant(call: Call, ask: pb.Acquire, asked: asyncio.Event, on_waiting: OnWaiting | None) -> pb.Granted:
    """Asks for a lease and reads until it is granted."""
    # A write on a call that has failed already raises less than the read that follows it.
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(pb.HoldLeaseRequest(acquire=ask))
    asked.set()
    while (answer := await read(call)) is not None:
        if answer.HasField("granted"):
            return answer.granted
        if answer.HasField("waiting"):
            tell(on_waiting, answer.waiting)
    raise ServerUnavailable("the vram server ended the call", metadata={"server": "vram"})


async def withdraw(call: Call, asked: asyncio.Event, asking: asyncio.Task[pb.Granted]) -> None:
    """Takes a request out of the queue. A Release, not a bare cancel: the grant may be on its way already."""
    try:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await asked.wait()
                await call.write(pb.HoldLeaseRequest(release=pb.Release()))
                await call.done_writing()
                await asyncio.wait({asking})
                while not call.done() and await read(call) is not None:
                    pass
    finally:
        call.cancel()
        if asking.done() and not asking.cancelled():
            asking.exception()
        asking.cancel()
