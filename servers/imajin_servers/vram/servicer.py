"""VramLeaseService: messages in, the desk, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import InvalidArgument
from imajin_servers.vram.claims import Claim, ClaimState, Ended
from imajin_servers.vram.desk import Desk
from imajin_servers.vram.mailbox import Acknowledged, HungUp, Mailbox
from imajin_servers.vram.messages import Messages, ask, bytes_used

Context = grpc.aio.ServicerContext[Any, Any]


class VramLeaseServicer(vram_lease_pb2_grpc.VramLeaseServiceServicer):
    """Serves the desk."""

    def __init__(self, desk: Desk, messages: Messages, watch_seconds: float, draining: asyncio.Event) -> None:
        self.desk = desk
        self.messages = messages
        self.watch_seconds = watch_seconds
        self.draining = draining

    async def HoldLease(
        self, request_iterator: AsyncIterator[pb.HoldLeaseRequest], context: Context
    ) -> AsyncIterator[pb.HoldLeaseResponse]:
        """One lease, from its Acquire or Resume to its end or that of the stream."""
        mailbox = Mailbox()
        first = await anext(request_iterator, pb.HoldLeaseRequest())
        match first.WhichOneof("message"):
            case "acquire":
                claim = self.desk.acquire(ask(first.acquire), mailbox)
            case "resume":
                claim = self.desk.resume(first.resume.lease_id, first.resume.fencing_token, mailbox)
            case _:
                raise InvalidArgument.field("message", "must be acquire or resume in the first message")
        hearing = asyncio.create_task(self.hear(request_iterator, claim, mailbox))
        try:
            if first.HasField("resume"):
                yield self.messages.granted(claim)
                if claim.state is ClaimState.REVOKING:
                    yield self.messages.revoke(claim)
            while True:
                letter = await mailbox.take()
                yield self.messages.answer(letter)
                if isinstance(letter, Ended):
                    return
        finally:
            hearing.cancel()
            self.desk.leave(claim, mailbox)

    async def hear(self, requests: AsyncIterator[pb.HoldLeaseRequest], claim: Claim, mailbox: Mailbox) -> None:
        """Does what the holder says until it says no more."""
        try:
            async for request in requests:
                await mailbox.room()
                match request.WhichOneof("message"):
                    case "heartbeat":
                        beat = request.heartbeat
                        mailbox.post(Acknowledged(self.desk.heartbeat(claim, bytes_used(beat), idle=beat.idle)))
                    case "resize":
                        self.desk.resize(claim, request.resize.bytes)
                    case "release":
                        self.desk.release(claim)
                    case _:
                        raise InvalidArgument.field("message", "acquire and resume come first, and once")
            mailbox.post(HungUp())
        except Exception as error:
            mailbox.post(status.from_exception(error))

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        """The cards."""
        return pb.ListDevicesResponse(devices=self.messages.devices(self.desk.ledger.book))

    async def ListLeases(self, request: pb.ListLeasesRequest, context: Context) -> pb.ListLeasesResponse:
        """Who holds and who waits."""
        return pb.ListLeasesResponse(leases=self.messages.leases(self.desk.ledger.book))

    async def WatchLeases(
        self, request: pb.WatchLeasesRequest, context: Context
    ) -> AsyncIterator[pb.WatchLeasesResponse]:
        """Cards and leases now and after every change, until the caller or the server goes."""
        async for book in self.desk.watch(self.watch_seconds, self.draining):
            yield pb.WatchLeasesResponse(devices=self.messages.devices(book), leases=self.messages.leases(book))
