"""What can go wrong, as a tree. Every error carries the `reason` that the suite gives over gRPC and REST.

ImajinError
├── InvalidArgument        INVALID_ARGUMENT    a field is missing or out of range; `violations` lists them
│   ├── ImageInvalid       IMAGE_INVALID       the bytes are no image that can be read
│   └── ImageTooLarge      IMAGE_TOO_LARGE     too many bytes, pixels or frames
├── NotFound               NOT_FOUND           no such size, family or image name
│   ├── ModelNotFound      MODEL_NOT_FOUND     no such model or style
│   └── JobNotFound        JOB_NOT_FOUND       no such job
├── ContentRejected        CONTENT_REJECTED    moderation refused the prompt or the image
├── GpuOutOfMemory         GPU_OOM             the card can't hold it
├── LeaseLost              LEASE_LOST          a VRAM lease was lost while it was needed
├── QueueFull              QUEUE_FULL          too much is waiting; try again after `retry_after`
├── StorageFull            STORAGE_FULL        no room is left where jobs and images are kept
├── JobCancelled           JOB_CANCELLED       the job was cancelled
├── JobNotFinished         JOB_NOT_FINISHED    the job has no result yet
├── RequestIdReused        REQUEST_ID_REUSED   the same request id with another body
├── Timeout                DEADLINE            the call's deadline passed
│   └── LlmTimeout         LLM_TIMEOUT         the language model did not answer in time
├── Cancelled              CANCELLED           the server gave the call up
├── Unavailable            SERVER_UNAVAILABLE  a server can't be reached, or went away
│   ├── Draining           DRAINING            the server is shutting down
│   └── LlmFailed          LLM_FAILED          the language model failed
├── TransferBroken         TRANSFER_BROKEN     an image arrived with a gap or a wrong hash (found by this client)
└── Internal               INTERNAL            a fault of the suite; `details["error_id"]` names the log line
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

    `message` is for people, `details` are facts for programs, `retry_after` is in seconds. `reason` may be one that
    this client does not know yet: the class is then `ImajinError` itself.
    """

    default_reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        details: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.details: dict[str, str] = dict(details or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after

    def __repr__(self) -> str:
        """Class, reason, message and details."""
        return f"{type(self).__name__}({self.reason}: {self.message!r}, details={self.details})"


class InvalidArgument(ImajinError):
    """A field of the request is missing or out of range; `violations` lists the fields."""

    default_reason = "INVALID_ARGUMENT"


class ImageInvalid(InvalidArgument):
    """The bytes are no image that can be read."""

    default_reason = "IMAGE_INVALID"


class ImageTooLarge(InvalidArgument):
    """Too many bytes, pixels or frames. Details: `what`, `limit`, `actual`."""

    default_reason = "IMAGE_TOO_LARGE"


class NotFound(ImajinError):
    """No such size, family or image name. Details: `name`."""

    default_reason = "NOT_FOUND"


class ModelNotFound(NotFound):
    """No such model or style in the registry. Details: `model`."""

    default_reason = "MODEL_NOT_FOUND"


class JobNotFound(NotFound):
    """No such job. Details: `job_id`."""

    default_reason = "JOB_NOT_FOUND"


class ContentRejected(ImajinError):
    """Moderation refused the prompt or the image. Details: `stage`, `category`."""

    default_reason = "CONTENT_REJECTED"


class GpuOutOfMemory(ImajinError):
    """The card can't hold it. Details: `requested` and `available`, such as `8GB`."""

    default_reason = "GPU_OOM"


class LeaseLost(ImajinError):
    """A VRAM lease was lost while it was needed."""

    default_reason = "LEASE_LOST"


class QueueFull(ImajinError):
    """Too much is waiting already; `retry_after` says when to try again."""

    default_reason = "QUEUE_FULL"


class StorageFull(ImajinError):
    """No room is left where jobs and images are kept. Details: `server`."""

    default_reason = "STORAGE_FULL"


class JobCancelled(ImajinError):
    """The job was cancelled. Details: `job_id`."""

    default_reason = "JOB_CANCELLED"


class JobNotFinished(ImajinError):
    """The job has no result yet. Details: `job_id`, `status`."""

    default_reason = "JOB_NOT_FINISHED"


class RequestIdReused(ImajinError):
    """The same request id with another body. Details: `request_id`."""

    default_reason = "REQUEST_ID_REUSED"


class Timeout(ImajinError):
    """The call's deadline passed; the work was cancelled."""

    default_reason = "DEADLINE"


class LlmTimeout(Timeout):
    """The language model did not answer in time."""

    default_reason = "LLM_TIMEOUT"


class Cancelled(ImajinError):
    """The server gave the call up."""

    default_reason = "CANCELLED"


class Unavailable(ImajinError):
    """A server can't be reached, or went away in the middle. Details: `server`, and `address` where this client called it."""

    default_reason = "SERVER_UNAVAILABLE"


class Draining(Unavailable):
    """The server is shutting down."""

    default_reason = "DRAINING"


class LlmFailed(Unavailable):
    """The language model failed, or its endpoint answered with an error."""

    default_reason = "LLM_FAILED"


class TransferBroken(ImajinError):
    """An image arrived with a gap, without its end, or with a wrong hash. Found by this client; the call may be repeated."""

    default_reason = "TRANSFER_BROKEN"


class Internal(ImajinError):
    """A fault of the suite. Details: `error_id` names the line in the server's log."""

    default_reason = "INTERNAL"


def tree(root: type[ImajinError]) -> list[type[ImajinError]]:
    """`root` and every class below it."""
    return [root, *(leaf for branch in root.__subclasses__() for leaf in tree(branch))]


BY_REASON: dict[str, type[ImajinError]] = {error.default_reason: error for error in tree(ImajinError)[1:]}
"""The class of each reason."""
