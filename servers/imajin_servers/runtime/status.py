"""The one place where errors become gRPC statuses and statuses become errors (AIP-193: one ErrorInfo, domain `imajin`)."""

from __future__ import annotations

import contextlib
import uuid

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from imajin.common.v1 import error_pb2
from imajin_servers.runtime import errors
from imajin_servers.runtime.errors import ImajinError

DOMAIN = "imajin"
STATUS_DETAILS = "grpc-status-details-bin"
ENDED_DURING_A_WRITE = "Internal error from Core"
"""What grpc.aio says in place of the server's status where a call ends while this side writes to it
(https://github.com/grpc/grpc/issues/36066)."""

log = structlog.get_logger()


def tree(root: type[ImajinError]) -> list[type[ImajinError]]:
    """`root` and every class below it."""
    return [root, *(leaf for branch in root.__subclasses__() for leaf in tree(branch))]


BY_REASON = {error.reason: error for error in tree(ImajinError)[1:]}


def from_exception(error: BaseException) -> ImajinError:
    """`error` as a member of the tree. An unknown one is logged whole and becomes Internal with an opaque id."""
    if isinstance(error, ImajinError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return from_call(error)
    error_id = uuid.uuid4().hex[:12]
    log.error("internal error", error_id=error_id, exc_info=error)
    return errors.Internal(f"internal error {error_id}", metadata={"error_id": error_id})


def to_status(error: ImajinError) -> status_pb2.Status:
    """`error` as the status that a call ends with."""
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.append(packed(info))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        status.details.append(packed(bad))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
        status.details.append(packed(retry))
    return status


def packed(
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> any_pb2.Any:
    """`detail` in an Any."""
    wrapped = any_pb2.Any()
    wrapped.Pack(detail)
    return wrapped


def to_proto(error: ImajinError) -> error_pb2.Error:
    """`error` as it is stored with a job."""
    return error_pb2.Error(error=error.message, code=error.reason, details=error.metadata)


def from_proto(error: error_pb2.Error) -> ImajinError:
    """The error that was stored with a job."""
    return BY_REASON.get(error.code, errors.Internal)(error.error, metadata=error.details)


def from_call(error: grpc.aio.AioRpcError, server: str = "") -> ImajinError:
    """The error that another server answered with; `server` names it where the transport itself failed."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            # What stands between may write what it likes there.
            with contextlib.suppress(DecodeError):
                status.ParseFromString(value)
    violations: list[errors.Violation] = []
    info: error_details_pb2.ErrorInfo | None = None
    retry_after: float | None = None
    for detail in status.details:
        found, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(found):
            info = found
        elif detail.Unpack(bad):
            violations = [errors.Violation(item.field, item.description) for item in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
    if info is not None and info.reason in BY_REASON:
        kind = BY_REASON[info.reason]
        return kind(status.message, metadata=info.metadata, violations=violations, retry_after=retry_after)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded("the deadline passed")
    if error.code() is grpc.StatusCode.CANCELLED:
        return errors.Cancelled("the call was cancelled")
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        metadata = {"server": server} if server else {}
        return errors.ServerUnavailable(f"the {server or 'next'} server can't be reached", metadata=metadata)
    log.error("a server answered without ErrorInfo", server=server, code=error.code().name, details=error.details())
    return errors.Internal(f"the {server or 'next'} server failed")


async def abort(context: grpc.aio.ServicerContext[object, object], error: ImajinError) -> None:
    """Ends a call with `error`; always raises. `abort_with_status` is recorded as OK by OpenTelemetry, so this is by hand."""
    status = to_status(error)
    trailing = (*context.trailing_metadata(), (STATUS_DETAILS, status.SerializeToString()))
    await context.abort(grpc.StatusCode[error.code], error.message, trailing_metadata=trailing)
