"""The exception tree of the suite. Domain modules raise these; `runtime.status` maps them to and from gRPC statuses.

ImajinError
├── InvalidArgument        INVALID_ARGUMENT   INVALID_ARGUMENT
│   ├── ImageInvalid       IMAGE_INVALID      INVALID_ARGUMENT
│   └── ImageTooLarge      IMAGE_TOO_LARGE    INVALID_ARGUMENT
├── ModelNotFound          MODEL_NOT_FOUND    NOT_FOUND
├── NotFound               NOT_FOUND          NOT_FOUND
├── ContentRejected        CONTENT_REJECTED   FAILED_PRECONDITION
├── GpuOutOfMemory         GPU_OOM            RESOURCE_EXHAUSTED
├── LlmTimeout             LLM_TIMEOUT        DEADLINE_EXCEEDED
├── LlmFailed              LLM_FAILED         UNAVAILABLE
├── LeaseLost              LEASE_LOST         ABORTED
├── QueueFull              QUEUE_FULL         RESOURCE_EXHAUSTED
├── StorageFull            STORAGE_FULL       RESOURCE_EXHAUSTED
├── JobNotFound            JOB_NOT_FOUND      NOT_FOUND
├── JobCancelled           JOB_CANCELLED      CANCELLED
├── JobNotFinished         JOB_NOT_FINISHED   FAILED_PRECONDITION
├── DeadlineExceeded       DEADLINE           DEADLINE_EXCEEDED
├── Cancelled              CANCELLED          CANCELLED
├── RequestIdReused        REQUEST_ID_REUSED  ALREADY_EXISTS
├── ServerUnavailable      SERVER_UNAVAILABLE UNAVAILABLE
├── Draining               DRAINING           UNAVAILABLE
└── Internal               INTERNAL           INTERNAL
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Violation:
    """One field of a request that is wrong: its path, such as `filters.region`, and what is wrong with it."""

    field: str
    description: str


class ImajinError(Exception):
    """Root of the tree.

    `message` is for people; `metadata` are the facts that a program may want (ErrorInfo.metadata, REST `details`);
    `retry_after` is in seconds.
    """

    reason: ClassVar[str] = "INTERNAL"
    code: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class InvalidArgument(ImajinError):
    """A field of the request is missing or out of range."""

    reason = "INVALID_ARGUMENT"
    code = "INVALID_ARGUMENT"

    @classmethod
    def field(cls, field: str, description: str) -> InvalidArgument:
        """The error of a single field."""
        return cls(f"{field}: {description}", violations=[Violation(field, description)])


class ImageInvalid(InvalidArgument):
    """The bytes are no image that can be read."""

    reason = "IMAGE_INVALID"


class ImageTooLarge(InvalidArgument):
    """Too many bytes, pixels or frames. Metadata: `what`, `limit`, `actual`."""

    reason = "IMAGE_TOO_LARGE"

    @classmethod
    def over(cls, what: str, limit: int, actual: int) -> ImageTooLarge:
        """The error of `actual` units of `what` (such as `pixels`) above `limit`."""
        metadata = {"what": what, "limit": str(limit), "actual": str(actual)}
        return cls(f"image has {actual} {what}, the limit is {limit}", metadata=metadata)


class ModelNotFound(ImajinError):
    """No such model or style in the registry."""

    reason = "MODEL_NOT_FOUND"
    code = "NOT_FOUND"

    @classmethod
    def named(cls, name: str, known: Sequence[str]) -> ModelNotFound:
        """The error of an unknown model `name`."""
        metadata = {"model": name, "known": ", ".join(known)}
        return cls(f"no model {name!r}; there are: {', '.join(known)}", metadata=metadata)


class NotFound(ImajinError):
    """No such size, family or image name. Metadata: `name`."""

    reason = "NOT_FOUND"
    code = "NOT_FOUND"


class ContentRejected(ImajinError):
    """Moderation refused the prompt or the image. Metadata: `stage` (`prompt` or `image`), `category`."""

    reason = "CONTENT_REJECTED"
    code = "FAILED_PRECONDITION"


class GpuOutOfMemory(ImajinError):
    """The card can't hold it. Metadata: `requested`, `available` (such as `8GB`) and both in bytes."""

    reason = "GPU_OOM"
    code = "RESOURCE_EXHAUSTED"

    @classmethod
    def of(cls, requested: int, available: int) -> GpuOutOfMemory:
        """The error of `requested` bytes where only `available` bytes can be had."""
        metadata = {
            "requested": readable_bytes(requested),
            "available": readable_bytes(available),
            "requested_bytes": str(requested),
            "available_bytes": str(available),
        }
        return cls("GPU out of memory", metadata=metadata)


class LlmTimeout(ImajinError):
    """The language model did not answer in time."""

    reason = "LLM_TIMEOUT"
    code = "DEADLINE_EXCEEDED"


class LlmFailed(ImajinError):
    """The language model failed, or its endpoint answered with an error."""

    reason = "LLM_FAILED"
    code = "UNAVAILABLE"


class LeaseLost(ImajinError):
    """A VRAM lease was lost while it was needed."""

    reason = "LEASE_LOST"
    code = "ABORTED"


class QueueFull(ImajinError):
    """Too much is waiting already; set `retry_after`."""

    reason = "QUEUE_FULL"
    code = "RESOURCE_EXHAUSTED"


class StorageFull(ImajinError):
    """No room is left where jobs and images are kept. Metadata: `server`."""

    reason = "STORAGE_FULL"
    code = "RESOURCE_EXHAUSTED"


class JobNotFound(ImajinError):
    """No such job. Metadata: `job_id`."""

    reason = "JOB_NOT_FOUND"
    code = "NOT_FOUND"


class JobCancelled(ImajinError):
    """The job was cancelled. Metadata: `job_id`."""

    reason = "JOB_CANCELLED"
    code = "CANCELLED"


class JobNotFinished(ImajinError):
    """The job has no result yet. Metadata: `job_id`, `status`."""

    reason = "JOB_NOT_FINISHED"
    code = "FAILED_PRECONDITION"


class DeadlineExceeded(ImajinError):
    """The caller's deadline passed."""

    reason = "DEADLINE"
    code = "DEADLINE_EXCEEDED"


class Cancelled(ImajinError):
    """The caller went away or cancelled the call."""

    reason = "CANCELLED"
    code = "CANCELLED"


class RequestIdReused(ImajinError):
    """The same request id with another body. Metadata: `request_id`."""

    reason = "REQUEST_ID_REUSED"
    code = "ALREADY_EXISTS"


class ServerUnavailable(ImajinError):
    """A server that is needed can't be reached, or went away in the middle. Metadata: `server`."""

    reason = "SERVER_UNAVAILABLE"
    code = "UNAVAILABLE"


class Draining(ImajinError):
    """The server is shutting down."""

    reason = "DRAINING"
    code = "UNAVAILABLE"


class Internal(ImajinError):
    """A fault of ours. Metadata: `error_id` names the log line; the cause never leaves the log."""

    reason = "INTERNAL"
    code = "INTERNAL"


def readable_bytes(count: int) -> str:
    """`count` bytes for people, in binary units with at most one decimal: `8GB`, `1.5GB`, `300MB`."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1024 or unit == "TB":
            break
        value /= 1024
    return f"{value:.1f}".removesuffix(".0") + unit
