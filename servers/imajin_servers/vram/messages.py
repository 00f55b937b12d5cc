"""The ledger's claims, cards and events as messages of the contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin_servers.runtime.errors import Cancelled, Draining, GpuOutOfMemory, ImajinError
from imajin_servers.vram.book import Book
from imajin_servers.vram.claims import (
    FOREVER,
    Ask,
    Card,
    Claim,
    ClaimState,
    EndCause,
    Ended,
    Granted,
    Moved,
    Refused,
    Resized,
    RevokeCause,
    Revoked,
)
from imajin_servers.vram.mailbox import Acknowledged, HungUp, Letter

NONE_USED = 1
"""What a heartbeat says for none, where 0 says that it isn't known."""
HEARTBEATS_PER_TTL = 3
STATES = {
    ClaimState.WAITING: pb.LEASE_STATE_WAITING,
    ClaimState.HELD: pb.LEASE_STATE_HELD,
    ClaimState.REVOKING: pb.LEASE_STATE_REVOKING,
}
REVOKE_REASONS = {
    RevokeCause.PREEMPTED: pb.REVOKE_REASON_PREEMPTED,
    RevokeCause.DRAINING: pb.REVOKE_REASON_DRAINING,
}
RELEASE_REASONS = {
    EndCause.CLIENT: pb.RELEASE_REASON_CLIENT,
    EndCause.REVOKED: pb.RELEASE_REASON_REVOKED,
    EndCause.EXPIRED: pb.RELEASE_REASON_EXPIRED,
}


def ask(message: pb.Acquire) -> Ask:
    """What an Acquire asks for."""
    return Ask(
        bytes=message.bytes,
        holder=message.holder,
        device_id=message.device_id,
        priority=message.priority if message.HasField("priority") else 50,
        preemptible=message.preemptible,
        max_wait=message.max_wait.ToTimedelta().total_seconds() if message.HasField("max_wait") else None,
        ttl=message.ttl.ToTimedelta().total_seconds() if message.HasField("ttl") else None,
        group=message.group,
    )


def bytes_used(beat: pb.Heartbeat) -> int | None:
    """Bytes in use, None where the holder does not know."""
    return {0: None, NONE_USED: 0}.get(beat.bytes_used, beat.bytes_used)


class Messages:
    """Makes messages of the contract out of claims. `now` is the ledger's clock, `wall` the time of day, both in seconds."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self.now = now
        self.wall = wall

    def timestamp(self, moment: float) -> Timestamp:
        """A moment of the ledger's clock as a time of day."""
        stamp = Timestamp()
        stamp.FromMicroseconds(round((self.wall() + moment - self.now()) * 1e6))
        return stamp

    def answer(self, letter: Letter) -> pb.HoldLeaseResponse:
        """A letter as the holder gets it. Raises the error where the letter is one, or means one."""
        match letter:
            case Moved():
                return pb.HoldLeaseResponse(
                    waiting=pb.WaitingInQueue(
                        position=letter.position, requested_bytes=letter.requested, available_bytes=letter.available
                    )
                )
            case Granted(claim):
                return self.granted(claim)
            case Acknowledged(expires_at):
                return pb.HoldLeaseResponse(heartbeat_ack=pb.HeartbeatAck(expire_time=self.timestamp(expires_at)))
            case Revoked(claim):
                return self.revoke(claim)
            case Resized(_, bytes):
                return pb.HoldLeaseResponse(resized=pb.Resized(bytes=bytes))
            case Ended(_, cause):
                return pb.HoldLeaseResponse(released=pb.Released(reason=RELEASE_REASONS[cause]))
            case Refused():
                if letter.draining:
                    raise Draining("the vram server is shutting down")
                raise GpuOutOfMemory.of(letter.requested, letter.available)
            case HungUp():
                raise Cancelled("the holder ended its side of the call without a Release")
            case ImajinError():
                raise letter

    def granted(self, claim: Claim) -> pb.HoldLeaseResponse:
        """The grant of a lease."""
        return pb.HoldLeaseResponse(
            granted=pb.Granted(
                lease_id=claim.lease_id,
                fencing_token=claim.token,
                device_id=claim.card.device_id if claim.card else "",
                bytes=claim.bytes,
                heartbeat_interval=timedelta(seconds=claim.ttl / HEARTBEATS_PER_TTL),
                ttl=timedelta(seconds=claim.ttl),
            )
        )

    def revoke(self, claim: Claim) -> pb.HoldLeaseResponse:
        """The demand to give a lease back."""
        reason = REVOKE_REASONS[claim.revoke_cause] if claim.revoke_cause else pb.REVOKE_REASON_UNSPECIFIED
        grace = timedelta(seconds=max(claim.revoked_at - self.now(), 0.0))
        deadline = self.timestamp(claim.revoked_at)
        return pb.HoldLeaseResponse(revoke=pb.Revoke(reason=reason, deadline=deadline, grace=grace))

    def devices(self, book: Book) -> list[pb.Device]:
        """The cards."""
        return [device(card, book) for card in book.cards.values()]

    def leases(self, book: Book) -> list[pb.Lease]:
        """Whoever holds, then whoever waits."""
        waiting = book.waiting()
        places = {claim: place for place, claim in enumerate(book.line(), start=1)}
        return [self.lease(claim, places.get(claim, 0)) for claim in [*book.holders(), *waiting]]

    def lease(self, claim: Claim, place: int) -> pb.Lease:
        """One claim."""
        return pb.Lease(
            lease_id=claim.lease_id if claim.held else "",
            holder=claim.ask.holder,
            state=STATES[claim.state],
            bytes=claim.bytes,
            bytes_used=claim.reported or 0,
            device_id=claim.card.device_id if claim.card else "",
            priority=claim.ask.priority,
            preemptible=claim.ask.preemptible,
            fencing_token=claim.token,
            position=0 if claim.held else place,
            since=self.timestamp(claim.granted_at if claim.held else claim.asked_at),
            expire_time=self.timestamp(claim.expires_at) if claim.expires_at < FOREVER else None,
            idle=claim.idle,
            group=claim.ask.group,
        )


def device(card: Card, book: Book) -> pb.Device:
    """One card."""
    return pb.Device(
        device_id=card.device_id,
        name=card.name,
        total_bytes=card.total,
        leased_bytes=book.leased(card),
        available_bytes=book.room(card),
        simulated=card.simulated,
    )
