"""Errors as REST shows them: `{"error", "code", "details"}` with an HTTP status, from a gRPC status (AIP-193) or from the gateway itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS = "grpc-status-details-bin"
CLIENT_CLOSED_REQUEST = 499

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "IMAGE_INVALID": 400,
    "IMAGE_TOO_LARGE": 413,
    "MODEL_NOT_FOUND": 404,
    "CONTENT_REJECTED": 422,
    "GPU_OOM": 507,
    "LLM_TIMEOUT": 504,
    "LEASE_LOST": 409,
    "QUEUE_FULL": 429,
    "STORAGE_FULL": 507,
    "JOB_NOT_FOUND": 404,
    "JOB_CANCELLED": 409,
    "JOB_NOT_FINISHED": 409,
    "DEADLINE": 504,
    "REQUEST_ID_REUSED": 409,
    "SERVER_UNAVAILABLE": 503,
    "DRAINING": 503,
    "INTERNAL": 500,
    "NOT_FOUND": 404,
    "LLM_FAILED": 503,
    "CANCELLED": CLIENT_CLOSED_REQUEST,
    # Those of the gateway itself, which no server sends.
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "BODY_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "BODY_TIMEOUT": 408,
    "HOST_NOT_ALLOWED": 421,
    "ORIGIN_NOT_ALLOWED": 403,
    "UNIMPLEMENTED": 501,
}

log = structlog.get_logger()


@dataclass(frozen=True)
class Violation:
    """One field of a request that is wrong: its path as JSON spells it, such as `filters.tags[2]`, and what is wrong."""

    field: str
    description: str


class ApiError(Exception):
    """An error that an HTTP answer shows. `retry_after` is in seconds."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.extra_headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return HTTP_STATUS.get(self.code, 500)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer: Retry-After in whole seconds, at least 1."""
        if self.retry_after is None:
            return self.extra_headers
        return {**self.extra_headers, "retry-after": str(max(1, math.ceil(self.retry_after)))}

    @property
    def body(self) -> dict[str, object]:
        """The JSON body."""
        details: dict[str, object] = dict(self.details)
        if self.violations:
            details["fields"] = [{"field": item.field, "description": item.description} for item in self.violations]
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        return {"error": self.message, "code": self.code, "details": details}


def invalid(*violations: Violation) -> ApiError:
    """The error of fields that are wrong."""
    text = "; ".join(f"{item.field}: {item.description}" if item.field else item.description for item in violations)
    return ApiError("INVALID_ARGUMENT", text, violations=[item for item in violations if item.field])


def malformed(message: str) -> ApiError:
    """The error of a request that can't be read at all."""
    return ApiError("INVALID_ARGUMENT", message)


def from_call(error: grpc.aio.AioRpcError, server: str) -> ApiError:
    """The error that `server` ended a call with; where the transport failed, one that says so."""
    status = rich_status(error)
    details: dict[str, str] = {}
    reason = ""
    violations: list[Violation] = []
    retry_after: float | None = None
    for detail in status.details:
        if detail.TypeName() == "google.rpc.ErrorInfo":
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason, details = info.reason, dict(sorted(info.metadata.items()))
        elif detail.TypeName() == "google.rpc.BadRequest":
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            violations = [Violation(item.field, item.description) for item in bad.field_violations]
        elif detail.TypeName() == "google.rpc.RetryInfo":
            retry_after = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToMilliseconds() / 1000
    if reason in HTTP_STATUS:
        return ApiError(reason, status.message, details=details, violations=violations, retry_after=retry_after)
    return from_transport(error, server)


def rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status in the trailers; empty where there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def from_transport(error: grpc.aio.AioRpcError, server: str) -> ApiError:
    """The error of a call that ended without ErrorInfo: gRPC itself failed, or gave up."""
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        return ApiError(
            "SERVER_UNAVAILABLE", f"the {server} server can't be reached", details={"server": server}, retry_after=1.0
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ApiError("DEADLINE", "the deadline passed")
    if code is grpc.StatusCode.CANCELLED:
        return ApiError("CANCELLED", "the call was cancelled")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ApiError("UNIMPLEMENTED", f"the {server} server does not offer this", details={"server": server})
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ApiError(
            "QUEUE_FULL", f"the {server} server takes no more calls now", details={"server": server}, retry_after=1.0
        )
    log.error("a server answered without ErrorInfo", server=server, status=code.name, details=error.details())
    return ApiError("INTERNAL", f"the {server} server failed", details={"server": server})
