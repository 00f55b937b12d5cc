"""A lease that is held: heartbeats, resizes, revocations, a broken stream taken up again."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import structlog

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import ImajinError, LeaseLost, ServerUnavailable

RELEASE_SECONDS = 5.0
"""How long a release may take before the TTL has to do it."""
RETRY_SECONDS = 0.2
"""Pause between two attempts to take a lease up again."""

NONE_USED = 1
"""What stands for none, where 0 says that it isn't known."""

OnWaiting = Callable[[int, int, int], None]
"""Called with the place in the line (1 is next), the bytes asked for and the bytes free now."""

if TYPE_CHECKING:
    Call = grpc.aio.StreamStreamCall[pb.HoldLeaseRequest, pb.HoldLeaseResponse]

log = structlog.get_logger()


async def read(call: Call) -> pb.HoldLeaseResponse | None:
    """The next message of the server; none when it ended the call with OK."""
    answer = await call.read()
    return answer if isinstance(answer, pb.HoldLeaseResponse) else None


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
        """As it was said last; 0 while it isn't known, and then all of them are taken to be."""
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

    @property
    def state(self) -> tuple[bool, int]:
        """What is told at once when it changes: whether nobody needs the memory, and how many bytes are in use where that is known."""
        return self.idle, self.bytes_used

    def seconds_to_revoke(self) -> float:
        """Seconds until the memory counts as free after a Revoke; infinity without one."""
        return max(self.revoke_at - self.loop.time(), 0.0)

    def report_used(self, bytes: int, *, at_once: bool = True) -> None:
        """Says how many bytes are in use, at once or by the next heartbeat."""
        self.bytes_used = max(bytes, NONE_USED)
        if at_once:
            self.stirred.set()

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
        # It outlives the call that the lease was taken for.
        structlog.contextvars.unbind_contextvars("request_id", "method")
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
                    # The end of the call follows at once; the server counts a cancellation as a holder that went.
                    with contextlib.suppress(grpc.aio.AioRpcError):
                        await read(call)
                    return True
        except grpc.aio.AioRpcError as error:
            if error.details() == status.ENDED_DURING_A_WRITE:
                # Taking the lease up again brings the server's reason; what was asked for is asked for again with it.
                return False
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
        told, said = self.bytes, (False, 0)
        # The reader hears of a break with its cause, so this side only stops.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            if opening is not None:
                self.unanswered.append(self.loop.time())
                await call.write(opening)
                await self.beat(call)
                said = self.state
            while not self.released:
                if self.wanted != told:
                    told = self.wanted
                    await call.write(pb.HoldLeaseRequest(resize=pb.Resize(bytes=told)))
                    continue
                if self.state == said:
                    try:
                        async with asyncio.timeout(self.interval):
                            await self.stirred.wait()
                        self.stirred.clear()
                        continue
                    except TimeoutError:
                        pass
                said = self.state
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
                self.revoke_at = self.loop.time() + answer.revoke.grace.ToTimedelta().total_seconds()
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
