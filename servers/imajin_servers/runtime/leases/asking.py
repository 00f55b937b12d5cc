"""Asking for a lease: the wait in the line, leaving it, and a vram server that goes away meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import grpc
import structlog

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import Cancelled, Draining, ImajinError, ServerUnavailable
from imajin_servers.runtime.leases.held import RETRY_SECONDS, HeldLease, OnWaiting, read, tell

WITHDRAW_SECONDS = 5.0
"""How long leaving the line may take before the call is cut."""

if TYPE_CHECKING:
    from imajin_servers.runtime.leases.held import Call

T = TypeVar("T")
log = structlog.get_logger()


class LeaseClient:
    """Asks the vram server behind `channel` for leases.

    One that has answered before and is gone, or is shutting down, is waited for, `outage` seconds after its last answer or from the
    beginning of the request, whichever came later: it is being started again, and others may hold what it will know again.
    """

    def __init__(self, channel: grpc.aio.Channel, outage: float = 0.0) -> None:
        self.stub = vram_lease_pb2_grpc.VramLeaseServiceStub(channel)
        self.outage = outage
        self.heard: float | None = None
        """When the server answered last, by the event loop's clock; None where it never has."""

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
        began = asyncio.get_running_loop().time()

        async def ask() -> HeldLease:
            waited = asyncio.get_running_loop().time() - began
            acquire = pb.Acquire(
                bytes=bytes,
                holder=holder,
                priority=priority,
                preemptible=preemptible,
                device_id=device_id,
                max_wait=None if max_wait is None else timedelta(seconds=max(max_wait - waited, 0.0)),
                ttl=None if ttl is None else timedelta(seconds=ttl),
                group=group,
            )
            try:
                return await self.hold(acquire, on_waiting)
            except grpc.aio.AioRpcError as error:
                if error.details() != status.ENDED_DURING_A_WRITE:
                    raise
            # The server's reason comes with the answer to a second try.
            return await self.hold(acquire, on_waiting)

        return await self.answered(ask)

    async def cards(self) -> list[pb.Device]:
        """The cards of the vram server's host. Raises ServerUnavailable."""

        async def ask() -> list[pb.Device]:
            return list((await self.stub.ListDevices(pb.ListDevicesRequest())).devices)

        return await self.answered(ask)

    async def answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the server answers; asks again where it was there before and comes back in time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        told = False
        while True:
            try:
                answer = await ask()
            except grpc.aio.AioRpcError as call:
                error = status.from_call(call, "vram")
                if type(error) is Cancelled:
                    # Nobody here cancelled (that is a CancelledError): the server dropped its calls as it stopped.
                    error = gone()
            except ServerUnavailable as unavailable:
                error = unavailable
            else:
                self.heard = loop.time()
                return answer
            if not self.awaited(error, began):
                raise error
            if not told:
                log.warning("the vram server is gone: it is waited for", seconds=self.outage, reason=error.reason)
                told = True
            await asyncio.sleep(RETRY_SECONDS)

    def awaited(self, error: ImajinError, began: float) -> bool:
        """Whether a server that answered with `error`, or not at all, is to be asked again; `began` is when it was asked first."""
        now = asyncio.get_running_loop().time()
        if not isinstance(error, ServerUnavailable | Draining):
            self.heard = now
            return False
        return self.heard is not None and now < max(self.heard, began) + self.outage

    async def hold(self, ask: pb.Acquire, on_waiting: OnWaiting | None) -> HeldLease:
        """Asks once, on a stream of its own. Raises AioRpcError as it comes."""
        call = self.stub.HoldLease()
        # A task of its own: grpc cancels the whole call when a read of it is cancelled, and then nothing can be withdrawn.
        asked = asyncio.Event()
        asking = asyncio.create_task(self.grant(call, ask, asked, on_waiting))
        try:
            granted = await asyncio.shield(asking)
        except asyncio.CancelledError:
            await withdraw(call, asked, asking)
            raise
        except BaseException:
            call.cancel()
            raise
        return HeldLease(self.stub, call, granted, on_waiting)

    async def grant(
        self, call: Call, ask: pb.Acquire, asked: asyncio.Event, on_waiting: OnWaiting | None
    ) -> pb.Granted:
        """Asks for a lease and reads until it is granted."""
        # A write on a call that has failed already raises less than the read that follows it.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.HoldLeaseRequest(acquire=ask))
        asked.set()
        while (answer := await read(call)) is not None:
            self.heard = asyncio.get_running_loop().time()
            if answer.HasField("granted"):
                return answer.granted
            if answer.HasField("waiting"):
                tell(on_waiting, answer.waiting)
        raise gone()


def gone() -> ServerUnavailable:
    """The error of a server that ended a call without a word."""
    return ServerUnavailable("the vram server ended the call", metadata={"server": "vram"})


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
