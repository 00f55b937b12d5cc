"""VRAM leases, as an engine holds them: ask, wait, hold, give back.

    leases = LeaseClient(channel)                            # channel = connect(settings.addresses.vram)
    async with await leases.acquire(
        2 * GIB, holder="diffusion/embedded", priority=60, preemptible=True,
        on_waiting=lambda position, requested, available: ...,   # called in the event loop, must not block
    ) as lease:
        lease.fencing_token, lease.device_id, lease.bytes
        lease.report_used(bytes)       # goes with the next heartbeat; lets the server see what is in use
        lease.report_idle(True)        # nobody needs it now: it may be asked back for whoever does
        await lease.resize(3 * GIB)    # less at once; more waits in the queue
        lease.check()                  # between two steps, from any thread: raises LeaseLost once the lease is void
        lease.revoked                  # Event: asked back; finish the step, free the memory, release within
        lease.revoke_reason            #   lease.seconds_to_revoke() seconds. PREEMPTED or DRAINING
        lease.lost                     # Event: void. Stop using the card at once

`acquire` raises GpuOutOfMemory (no card can ever hold it, or `max_wait` passed), QueueFull, NotFound (no such card),
InvalidArgument, Draining and ServerUnavailable. A cancelled `acquire` takes the request out of the queue before the
cancellation goes on. `resize` raises the same, and LeaseLost; after a failed or cancelled one the old amount is still held.

Heartbeats go out in the background, as messages: the transport answers pings even while a process hangs. A broken
stream is taken up again with the lease's token until the TTL has passed since the last heartbeat that was answered;
then the lease is void here too, even if the server can't be asked. `release` never raises; where the server can't be
told within RELEASE_SECONDS, the TTL ends the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import structlog

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import ImajinError, LeaseLost, ServerUnavailable

GIB = 1024**3
RELEASE_SECONDS = 5.0
"""How long a release or a withdrawal may take before the TTL has to do it."""
RETRY_SECONDS = 0.2
"""Pause between two attempts to take a lease up again."""

OnWaiting = Callable[[int, int, int], None]
"""Called with the place in the line (1 is next), the bytes asked for and the bytes free now."""

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[pb.HoldLeaseRequest, pb.HoldLeaseResponse]

log = structlog.get_logger()


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
    try:
        while (answer := await read(call)) is not None:
            if answer.HasField("granted"):
                return answer.granted
            if answer.HasField("waiting"):
                tell(on_waiting, answer.waiting)
    except grpc.aio.AioRpcError as error:
        raise status.from_call(error, "vram") from None
    raise ServerUnavailable("the vram server ended the call", metadata={"server": "vram"})


async def read(call: Call) -> pb.HoldLeaseResponse | None:
    """The next message of the server; none when it ended the call with OK."""
    answer = await call.read()
    return answer if isinstance(answer, pb.HoldLeaseResponse) else None


async def withdraw(call: Call, asked: asyncio.Event, asking: asyncio.Task[pb.Granted]) -> None:
    """Takes a request out of the queue. A Release, not a bare cancel: the grant may be on its way already."""
    try:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
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


def tell(on_waiting: OnWaiting | None, waiting: pb.WaitingInQueue) -> None:
    """Passes the place in the line on."""
    if on_waiting is not None:
        on_waiting(waiting.position, waiting.requested_bytes, waiting.available_bytes)


class HeldLease:
    """A lease that is held; made by `LeaseClient.acquire`. Use it in the event loop that it was made in, but for `check`."""

    def __init__(
        self,
        stub: vram_lease_pb2_grpc.VramLeaseServiceAsyncStub,
        call: Call,
        granted: pb.Granted,
        on_waiting: OnWaiting | None,
    ) -> None:
        self.stub = stub
        self.on_waiting = on_waiting
        self.lease_id = granted.lease_id
        self.fencing_token = granted.fencing_token
        self.device_id = granted.device_id
        self.bytes = granted.bytes
        """Bytes held."""
        self.bytes_used = 0
        self.idle = False
        self.revoked = asyncio.Event()
        self.revoke_reason = ""
        self.lost = asyncio.Event()
        self.why_lost = ""
        self.released = False
        self.loop = asyncio.get_running_loop()
        self.interval = granted.heartbeat_interval.ToTimedelta().total_seconds()
        self.ttl = granted.ttl.ToTimedelta().total_seconds()
        self.revoke_at = float("inf")
        self.expires_at = self.loop.time() + self.ttl
        self.watchdog: asyncio.Timeout | None = None
        self.unanswered: deque[float] = deque()
        self.wanted = self.bytes
        self.resizing: asyncio.Future[None] | None = None
        self.resizes = asyncio.Lock()
        self.stirred = asyncio.Event()
        self.keeper = asyncio.create_task(self.keep(call))

    async def __aenter__(self) -> HeldLease:
        """The lease itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Releases it."""
        await self.release()

    @property
    def held(self) -> bool:
        """Whether the memory may be used."""
        return not (self.released or self.lost.is_set())

    def check(self) -> None:
        """Raises LeaseLost unless the memory may be used. From any thread."""
        if not self.held:
            raise self.lost_because("it was released" if self.released else self.why_lost)

    def seconds_to_revoke(self) -> float:
        """Seconds until the memory counts as free after a Revoke; infinity without one."""
        return max(self.revoke_at - self.loop.time(), 0.0)

    def report_used(self, bytes: int) -> None:
        """Says how many bytes are in use; the next heartbeat carries it. 0 means unknown."""
        self.bytes_used = bytes

    def report_idle(self, idle: bool) -> None:
        """Says at once whether nobody needs the memory; a preemptible lease that is idle is asked back for whoever does."""
        if self.idle != idle:
            self.idle = idle
            self.stirred.set()

    async def resize(self, bytes: int, on_waiting: OnWaiting | None = None) -> None:
        """Holds `bytes` in all from now on; waits where that is more."""
        async with self.resizes:
            self.check()
            if bytes == self.bytes:
                return
            self.on_waiting = on_waiting or self.on_waiting
            self.resizing = self.loop.create_future()
            self.wanted = bytes
            self.stirred.set()
            try:
                await self.resizing
            finally:
                self.resizing = None
                if self.wanted != self.bytes:
                    self.wanted = self.bytes
                    self.stirred.set()

    async def release(self) -> None:
        """Gives the memory back. Safe to call twice; never raises."""
        self.released = True
        self.stirred.set()
        try:
            await asyncio.wait({self.keeper}, timeout=RELEASE_SECONDS)
        finally:
            self.keeper.cancel()

    async def keep(self, call: Call) -> None:
        """Talks to the server until the lease has ended; takes a broken stream up again."""
        opening: pb.HoldLeaseRequest | None = None
        try:
            async with asyncio.timeout_at(self.expires_at) as self.watchdog:
                while not await self.converse(call, opening):
                    await asyncio.sleep(RETRY_SECONDS)
                    call = self.stub.HoldLease()
                    opening = pb.HoldLeaseRequest(
                        resume=pb.Resume(lease_id=self.lease_id, fencing_token=self.fencing_token)
                    )
        except TimeoutError:
            self.lose("no heartbeat was answered in time" if self.revoke_at > self.loop.time() else "it was revoked")
        except Exception as error:
            log.error("lease keeper failed", lease=self.lease_id, exc_info=error)
            self.lose("its keeper failed")
        finally:
            self.fail_resize(self.lost_because("it was released"))

    async def converse(self, call: Call, opening: pb.HoldLeaseRequest | None) -> bool:
        """One stream from its start to its end; whether the lease has ended with it."""
        self.unanswered.clear()
        speaking = asyncio.create_task(self.speak(call, opening))
        try:
            while (answer := await read(call)) is not None:
                if self.hear(answer):
                    return True
        except grpc.aio.AioRpcError as error:
            mapped = status.from_call(error, "vram")
            if isinstance(mapped, LeaseLost):
                self.lose(mapped.message)
                return True
            if not isinstance(mapped, ServerUnavailable):
                self.fail_resize(mapped)
        finally:
            speaking.cancel()
            call.cancel()
        return False

    async def speak(self, call: Call, opening: pb.HoldLeaseRequest | None) -> None:
        """Writes what this side wants and has not said on this stream yet, and heartbeats between."""
        told, told_idle = self.bytes, False
        # The reader hears of a break with its cause, so this side only stops.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            if opening is not None:
                self.unanswered.append(self.loop.time())
                await call.write(opening)
                await self.beat(call)
                told_idle = self.idle
            while not self.released:
                if self.wanted != told:
                    told = self.wanted
                    await call.write(pb.HoldLeaseRequest(resize=pb.Resize(bytes=told)))
                    continue
                if self.idle == told_idle:
                    try:
                        async with asyncio.timeout(self.interval):
                            await self.stirred.wait()
                        self.stirred.clear()
                        continue
                    except TimeoutError:
                        pass
                told_idle = self.idle
                await self.beat(call)
            await call.write(pb.HoldLeaseRequest(release=pb.Release()))
            await call.done_writing()

    async def beat(self, call: Call) -> None:
        """Writes a heartbeat."""
        self.unanswered.append(self.loop.time())
        await call.write(pb.HoldLeaseRequest(heartbeat=pb.Heartbeat(bytes_used=self.bytes_used, idle=self.idle)))

    def hear(self, answer: pb.HoldLeaseResponse) -> bool:
        """Takes one message of the server; whether the lease has ended with it."""
        match answer.WhichOneof("message"):
            case "heartbeat_ack":
                self.extend()
            case "granted":
                self.extend()
                self.holds(answer.granted.bytes)
            case "waiting":
                tell(self.on_waiting, answer.waiting)
            case "resized":
                self.holds(answer.resized.bytes)
            case "revoke":
                left = answer.revoke.deadline.ToMicroseconds() / 1e6 - time.time()
                self.revoke_at = self.loop.time() + left
                self.revoke_reason = pb.RevokeReason.Name(answer.revoke.reason).removeprefix("REVOKE_REASON_")
                self.revoked.set()
                self.wind_watchdog()
            case "released":
                if answer.released.reason != pb.RELEASE_REASON_CLIENT:
                    self.lose(pb.ReleaseReason.Name(answer.released.reason).removeprefix("RELEASE_REASON_").lower())
                return True
        return False

    def holds(self, bytes: int) -> None:
        """The server says how much is held now."""
        self.bytes = bytes
        if self.resizing is not None and not self.resizing.done() and bytes == self.wanted:
            self.resizing.set_result(None)

    def extend(self) -> None:
        """The server has answered the oldest sign of life: the TTL counts from when that was sent."""
        if self.unanswered:
            self.expires_at = max(self.expires_at, self.unanswered.popleft() + self.ttl)
            self.wind_watchdog()

    def wind_watchdog(self) -> None:
        """Sets when this side gives the lease up by itself."""
        if self.watchdog is not None:
            self.watchdog.reschedule(min(self.expires_at, self.revoke_at))

    def lose(self, why: str) -> None:
        """The memory may not be used any more."""
        if not self.released:
            log.warning("lease lost", lease=self.lease_id, device=self.device_id, why=why)
        self.why_lost = why
        self.lost.set()
        self.fail_resize(self.lost_because(why))

    def lost_because(self, why: str) -> LeaseLost:
        """The error of using this lease after its end."""
        metadata = {"lease_id": self.lease_id, "device_id": self.device_id}
        return LeaseLost(f"lease {self.lease_id} is no longer held: {why}", metadata=metadata)

    def fail_resize(self, error: ImajinError) -> None:
        """Ends a resize that waits, if there is one."""
        if self.resizing is not None and not self.resizing.done():
            self.resizing.set_exception(error)
