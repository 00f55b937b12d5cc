"""gRPC statuses as errors of this client (AIP-193: one ErrorInfo, domain `imajin`)."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from imajin.common.v1 import error_pb2
from imajin_client import errors
from imajin_client.errors import ImajinError, Violation

STATUS_DETAILS = "grpc-status-details-bin"
TRANSPORT: Mapping[grpc.StatusCode, type[ImajinError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.QueueFull,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Timeout,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
}
"""What a status without ErrorInfo becomes: the transport speaks then, not a server of the suite."""


def from_call(error: grpc.aio.AioRpcError, server: str, address: str) -> ImajinError:
    """The error that `server` at `address` answered with, or that the way there failed with."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                break
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
        detail.Unpack(info)
        detail.Unpack(bad)
    if not info.reason:
        return from_transport(error, server, address)
    return errors.BY_REASON.get(info.reason, ImajinError)(
        status.message or error.details() or info.reason,
        reason=info.reason,
        details=info.metadata,
        violations=[Violation(item.field, item.description) for item in bad.field_violations],
        retry_after=retry_after,
    )


def from_transport(error: grpc.aio.AioRpcError, server: str, address: str) -> ImajinError:
    """The error of a call that ended without a word from a servicer."""
    where = {"server": server, "address": address}
    kind = TRANSPORT.get(error.code(), errors.Internal)
    if kind is errors.Unavailable:
        return kind(f"the {server} server can't be reached at {address}", details=where)
    if kind is errors.Timeout:
        return kind(f"the {server} server did not answer in time", details=where)
    text = error.details() or "no details"
    return kind(f"the {server} server answered {error.code().name}: {text}", details={**where, "text": text})


def from_proto(error: error_pb2.Error) -> ImajinError:
    """The error that was stored with a job."""
    kind = errors.BY_REASON.get(error.code, ImajinError)
    return kind(error.error, reason=error.code, details=error.details)
