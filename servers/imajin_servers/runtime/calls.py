"""What happens around every call: ids for the log, validation against the contract, errors to statuses."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message

from imajin_servers.runtime import metrics, status
from imajin_servers.runtime.errors import InvalidArgument, Violation

REQUEST_ID = "x-request-id"
# grpc's classes are generic for type checkers only.
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]

log = structlog.get_logger()


def validate(message: Message) -> None:
    """Holds `message` against the rules of the contract. Raises InvalidArgument with every violation."""
    violations = [
        Violation(field_path(violation), violation.proto.message or violation.proto.rule_id or "is invalid")
        for violation in protovalidate.collect_violations(message)
    ]
    if violations:
        text = "; ".join(f"{item.field}: {item.description}" for item in violations)
        raise InvalidArgument(text, violations=violations)


def decoded(data: bytes, decode: Callable[[bytes], Message]) -> Message:
    """The message in `data`. Raises InvalidArgument where it is none of its type."""
    try:
        return decode(data)
    except DecodeError:
        raise InvalidArgument("the message is none of this contract: it can't be decoded") from None


def field_path(violation: protovalidate.Violation) -> str:
    """Dotted path of the field, such as `filters.tags[2]`."""
    path = violation.proto.field
    if path is None:
        return ""
    parts = []
    for element in path.elements:
        index = getattr(element.subscript, "value", None) if element.subscript is not None else None
        parts.append(element.field_name + (f"[{index}]" if index is not None else ""))
    return ".".join(parts)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler of a server. Health and reflection pass through it unharmed."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler that `continuation` finds."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/imajin."):
            return handler
        metadata = dict(handler_call_details.invocation_metadata or ())
        request_id = str(metadata.get(REQUEST_ID) or uuid.uuid4().hex[:16])[:64]
        # Messages are decoded here, not by gRPC, which answers what it can't decode with UNKNOWN and the text of an exception.
        decode: Any = handler.request_deserializer
        # The stubs know only the handlers of synchronous servers.
        inner: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

        def checked(request: Any) -> Any:
            return Checked(request, read) if handler.request_streaming else read(request)

        def read(data: bytes) -> Message:
            message = decoded(data, decode)
            validate(message)
            return message

        async def unary(request: Any, context: Context) -> Any:
            async with Around(method, request_id, context):
                return await inner(checked(request), context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with Around(method, request_id, context):
                answers = inner(checked(request), context)
                try:
                    async for answer in answers:
                        yield answer
                finally:
                    await answers.aclose()

        if handler.response_streaming:
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(stream, None, handler.response_serializer)
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(unary, None, handler.response_serializer)


class Checked:
    """The messages of a client's stream, each read by `read`. It can be read on after a refusal."""

    def __init__(self, requests: AsyncIterator[bytes], read: Callable[[bytes], Message]) -> None:
        self.requests = aiter(requests)
        self.read = read

    def __aiter__(self) -> Checked:
        """Itself."""
        return self

    async def __anext__(self) -> Message:
        """The next message. Raises InvalidArgument."""
        return self.read(await anext(self.requests))


class Around:
    """What surrounds one call: log context, timing, and errors turned into the status that the call ends with."""

    def __init__(self, method: str, request_id: str, context: Context) -> None:
        self.method = method
        self.request_id = request_id
        self.context = context

    async def __aenter__(self) -> Around:
        """Binds the ids for the log."""
        structlog.contextvars.bind_contextvars(request_id=self.request_id, method=self.method)
        self.began = time.monotonic()
        metrics.call_began(self.method)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Logs and counts the end of the call and maps its error."""
        if error is None:
            self.ended("OK", "OK")
            return
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            # A handler is cancelled when its deadline has passed, too.
            left = self.context.time_remaining()
            late = left is not None and left <= 0
            self.ended("DEADLINE_EXCEEDED" if late else "CANCELLED", "DEADLINE" if late else "CANCELLED")
            return
        if not isinstance(error, Exception):
            return
        mapped = status.from_exception(error)
        self.ended(mapped.code, mapped.reason, error=mapped.message)
        await status.abort(self.context, mapped)

    def ended(self, code: str, reason: str, **facts: str) -> None:
        """Logs and counts the end."""
        elapsed = time.monotonic() - self.began
        log.info("call", status=reason, ms=round(elapsed * 1000, 1), **facts)
        metrics.call_ended(self.method, code, "" if reason == "OK" else reason, elapsed)
