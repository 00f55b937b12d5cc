"""One VRAM lease: asked for, kept by heartbeats, taken up again after a broken stream, given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from imajin.vram.v1 import vram_lease_pb2
from imajin_client import status
from imajin_client.calls import Wire, cancel
from imajin_client.errors import ImajinError, LeaseLost, Unavailable
from imajin_client.expiry import Expiry
from imajin_client.filled import filled
from imajin_client.names import word

ENDED_DURING_A_WRITE = "Internal error from Core"
"""What grpc.aio says in place of the server's status where a call ends while this side writes to it: asking again brings that."""

OnWaiting = Callable[[int, int], None]
"""Called with the place in the line (1 is next) and the bytes free now."""

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[vram_lease_pb2.HoldLeaseRequest, vram_lease_pb2.HoldLeaseResponse]

GIB = 1024**3
RELEASE_SECONDS = 5.0
"""How long giving back may take; after that the TTL has to do it."""
RETRY_SECONDS = 0.2
"""Pause between two attempts to take a lease up again."""

NONE_USED = 1
"""What stands for no bytes, where 0 says that it isn't known."""


@dataclass(frozen=True)
class Revoke:
    """The server asks for the lease back: finish the step, free the memory, leave the block."""

    reason: str
    """`preempted` or `draining`."""
    seconds: float
    """Time left when it arrived; after it the memory counts as free."""


class AsyncLease:
    """Memory of a card, held while the block `async with client.vram.lease(...) as lease` runs.

    `revoked` is set when the lease is asked back: the block should end within `revoke.seconds`. When the lease is lost
    all the same, the block is cancelled and LeaseLost is raised in its place, as `asyncio.timeout` does it.
    """

    def __init__(self, wire: Wire, ask: vram_lease_pb2.Acquire, on_waiting: OnWaiting | None = None) -> None:
        self._wire = wire
        self._on_waiting = on_waiting
        self.lease_id = ""
        self.fencing_token = 0
        """Grows with every grant. Work that is done under the lease carries it."""
        self.device_id = ""
        self.bytes = ask.bytes
        """Bytes held."""
        self.position = 0
        """Place in the line while it waits, 1 is next."""
        self.revoked = asyncio.Event()
        self.revoke: Revoke | None = None
        self.lost: LeaseLost | None = None
        """Why the memory may not be used any more."""
        self._used = 0
        self._idle = False
        self._changed = asyncio.Event()
        self._opening = vram_lease_pb2.HoldLeaseRequest(acquire=ask)
        self._writing = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._call: Call | None = None
        self._granted: asyncio.Future[None] | None = None
        self._resizing: asyncio.Future[None] | None = None
        self._owner: asyncio.Task[object] | None = None
        self._struck = False
        self._asked_again = False
        self._releasing = False
        self._expiry = Expiry()
        self._interval = 0.0

    async def __aenter__(self) -> Self:
        """Waits for the memory. Raises GpuOutOfMemory, QueueFull, NotFound (no such card), Unavailable."""
        self._owner = asyncio.current_task()
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the memory back. Raises LeaseLost when it was lost while the block ran."""
        owner, self._owner = self._owner, None
        await self.release()
        if self._struck and owner is not None and owner.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise self.lost or LeaseLost("the lease was lost")
        if self.lost is not None and kind is None:
            raise self.lost

    async def acquire(self) -> None:
        """Waits for the memory; the block does it by itself. A cancelled wait leaves the line."""
        self._granted = asyncio.get_running_loop().create_future()
        # A task of its own: grpc cancels the whole call when a read of it is cancelled, and then nothing can be told.
        keeper = self._keeper = asyncio.create_task(self._keep())
        try:
            await self._granted
        except asyncio.CancelledError:
            await self.release()
            raise
        except ImajinError:
            await asyncio.wait({keeper})
            raise

    async def release(self) -> None:
        """Gives the memory back; the block does it by itself. Safe to repeat; never raises for a server that is gone."""
        keeper = self._keeper
        if keeper is None:
            # It was never asked for.
            return
        self._releasing = True
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                if self._call is not None and not keeper.done():
                    await self._write(vram_lease_pb2.HoldLeaseRequest(release=vram_lease_pb2.Release()))
                await asyncio.wait({keeper})
        except TimeoutError:
            pass
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def resize(self, *, gib: float = 0, bytes: int = 0) -> None:
        """Holds another amount in all; more waits in the line. Raises GpuOutOfMemory, LeaseLost."""
        self.check()
        self._resizing = asyncio.get_running_loop().create_future()
        amount = bytes or round(gib * GIB)
        await self._write(vram_lease_pb2.HoldLeaseRequest(resize=filled(vram_lease_pb2.Resize, bytes=amount)))
        try:
            await self._resizing
        finally:
            self._resizing = None

    def report(self, *, bytes_used: int | None = None, idle: bool | None = None) -> None:
        """Says at once how much is in use (unless anything was said, all of it is taken to be, from the first heartbeat on), and
        whether nobody needs it at the moment: a preemptible lease that is idle is asked back for whoever does.
        """
        told = self._used, self._idle
        self._used = self._used if bytes_used is None else max(bytes_used, NONE_USED)
        self._idle = self._idle if idle is None else idle
        if (self._used, self._idle) != told:
            self._changed.set()

    def check(self) -> None:
        """Raises LeaseLost unless the memory may be used; from any thread."""
        if self.lost is not None:
            raise self.lost
        if self._releasing or not self.lease_id:
            raise LeaseLost("the lease is not held", details={"lease_id": self.lease_id})

    async def _keep(self) -> None:
        """Talks to the server until the lease has ended, over as many streams as it takes."""
        try:
            async with self._expiry.watchdog():
                while not await self._converse():  # noqa: ASYNC110 - the sleep is a pause between attempts, not a poll
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            self._lose(self._expiry.why())
        except ImajinError as error:
            self._fail(error)

    async def _converse(self) -> bool:
        """One stream; whether the lease has ended with it."""
        call = self._wire.vram.HoldLease()
        self._call = call
        self._expiry.begin()
        beating: asyncio.Task[None] | None = None
        try:
            self._expiry.sent()
            await self._write(self._opening)
            while isinstance(answer := await call.read(), vram_lease_pb2.HoldLeaseResponse):
                if self._hear(answer):
                    # The end of the call follows at once; the server counts a cancellation as a holder that went.
                    with suppress(grpc.aio.AioRpcError):
                        await call.read()
                    return True
                if beating is None and self.lease_id:
                    beating = asyncio.create_task(self._beat())
        except grpc.aio.AioRpcError as error:
            found = status.from_call(error, "vram", self._wire.addresses["vram"])
            if isinstance(found, LeaseLost):
                self._lose(found.message)
                return True
            if not self.lease_id:
                if error.details() == ENDED_DURING_A_WRITE and not self._asked_again:
                    self._asked_again = True
                    return False
                raise found from None
            if not isinstance(found, Unavailable):
                self._refuse_resize(found)
        finally:
            if beating is not None:
                beating.cancel()
            cancel(call)
        if not self.lease_id:
            raise Unavailable("the vram server ended the call", details={"server": "vram"})
        return self._releasing

    async def _beat(self) -> None:
        """Sends signs of life."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._interval)
            self._changed.clear()
            self._expiry.sent()
            heartbeat = vram_lease_pb2.Heartbeat(bytes_used=self._used, idle=self._idle)
            await self._write(vram_lease_pb2.HoldLeaseRequest(heartbeat=heartbeat))

    async def _write(self, message: vram_lease_pb2.HoldLeaseRequest) -> None:
        """Writes to the stream. The reader hears of a break with its cause, so this side says nothing of it."""
        async with self._writing:
            if self._call is not None:
                with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await self._call.write(message)

    def _hear(self, answer: vram_lease_pb2.HoldLeaseResponse) -> bool:
        """Takes one message; whether the lease has ended with it."""
        match answer.WhichOneof("message"):
            case "waiting":
                self.position = answer.waiting.position
                if self._on_waiting is not None:
                    self._on_waiting(self.position, answer.waiting.available_bytes)
            case "granted":
                self._grant(answer.granted)
            case "heartbeat_ack":
                self._expiry.answered()
            case "resized":
                self.bytes = answer.resized.bytes
                if self._resizing is not None and not self._resizing.done():
                    self._resizing.set_result(None)
            case "revoke":
                left = answer.revoke.grace.ToTimedelta().total_seconds()
                self.revoke = Revoke(word(vram_lease_pb2.RevokeReason, answer.revoke.reason), left)
                self._expiry.asked_back(left)
                self.revoked.set()
            case "released":
                if answer.released.reason != vram_lease_pb2.RELEASE_REASON_CLIENT:
                    self._lose(word(vram_lease_pb2.ReleaseReason, answer.released.reason))
                return True
        return False

    def _grant(self, granted: vram_lease_pb2.Granted) -> None:
        """The memory is held: for the first time, or again after a broken stream."""
        self.lease_id, self.fencing_token = granted.lease_id, granted.fencing_token
        self.device_id, self.bytes, self.position = granted.device_id, granted.bytes, 0
        self._interval = granted.heartbeat_interval.ToTimedelta() / timedelta(seconds=1)
        self._expiry.ttl = granted.ttl.ToTimedelta() / timedelta(seconds=1)
        resume = vram_lease_pb2.Resume(lease_id=self.lease_id, fencing_token=self.fencing_token)
        self._opening = vram_lease_pb2.HoldLeaseRequest(resume=resume)
        if self._granted is not None and not self._granted.done():
            # It may have waited in the line since it was asked for.
            self._expiry.begin()
            self._expiry.sent()
            self._granted.set_result(None)
        self._expiry.answered()

    def _lose(self, why: str) -> None:
        """The memory may not be used any more: whoever uses it is stopped."""
        if self._releasing:
            return
        details = {"lease_id": self.lease_id, "device_id": self.device_id}
        self.lost = LeaseLost(f"the lease was lost: {why}", details=details)
        self._fail(self.lost)
        if self._owner is not None and not self._struck:
            self._struck = self._owner.cancel()

    def _refuse_resize(self, error: ImajinError) -> None:
        if self._resizing is not None and not self._resizing.done():
            self._resizing.set_exception(error)

    def _fail(self, error: ImajinError) -> None:
        """Ends whoever waits for an answer."""
        self._refuse_resize(error)
        if self._granted is not None and not self._granted.done():
            self._granted.set_exception(error)
