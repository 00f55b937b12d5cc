"""One path of the API: picks the binding by verb and the kind of answer by Accept, runs the call, and ends it when the client leaves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from imajin_gateway import accept, answers, incoming
from imajin_gateway.answers import Exchange
from imajin_gateway.body import Body, Budget, ClientGone
from imajin_gateway.calls import Call, Channels
from imajin_gateway.contract import EVENTS, Binding
from imajin_gateway.errors import ApiError, Violation, malformed
from imajin_gateway.settings import GatewaySettings

STALLED = ("BODY_TIMEOUT", "DEADLINE")
"""Errors after which nothing more is waited for."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Servers take no larger message; images travel in chunks."""
PASSED_ON = ("authorization", "traceparent", "tracestate")
"""Headers that reach the servers as metadata."""
METADATA = re.compile(r"[\x20-\x7e]*")
LONGEST_SECONDS = 7 * 24 * 3600.0
TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Endpoint:
    """An ASGI app for every binding of one path. `draining` is set when the gateway is about to stop."""

    def __init__(
        self,
        bindings: Sequence[Binding],
        channels: Channels,
        settings: GatewaySettings,
        draining: asyncio.Event,
        budget: Budget,
    ) -> None:
        self.by_verb = {binding.verb: binding for binding in bindings}
        self.template = bindings[0].template
        self.channels = channels
        self.settings = settings
        self.draining = draining
        self.budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. Raises ApiError for whoever is around to show it."""
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        binding = self.by_verb.get(verb)
        if binding is None:
            allowed = ", ".join(self.by_verb)
            raise ApiError(
                "METHOD_NOT_ALLOWED",
                f"{verb} is not for this path",
                details={"allowed": allowed},
                headers={"allow": allowed},
            )
        request = Request(scope, receive)
        code = "IMAGE_TOO_LARGE" if binding.takes_image else "BODY_TOO_LARGE"
        limit = self.settings.max_body_bytes
        body = Body(receive, request.headers, self.budget, limit, code, self.settings.body_seconds)
        exchange = Exchange(scope, send)
        try:
            await self.while_wanted(self.answer(binding, request, body, exchange), body, exchange, binding)
        except ApiError as error:
            body.release()
            if not exchange.started and error.code not in STALLED:
                await body.drop_rest()
            raise
        finally:
            body.release()

    async def answer(self, binding: Binding, request: Request, body: Body, exchange: Exchange) -> None:
        """Reads the request, runs the call and sends its answer."""
        wanted = accept.media_types(request.headers.get("accept", ""))
        kind = accept.choose(wanted, binding.offers)
        method = (kind in EVENTS and binding.stream) or binding.method
        timeout = deadline(request, None if binding.watches else self.settings.timeout_seconds)
        try:
            async with asyncio.timeout(timeout):
                messages = await incoming.read(binding, method, request, body)
        except TimeoutError:
            message = "the deadline passed while the request was read"
            raise ApiError("DEADLINE", message, headers={"connection": "close"}) from None
        if messages.first.ByteSize() > MAX_MESSAGE_BYTES:
            raise ApiError("BODY_TOO_LARGE", f"all but images may have {MAX_MESSAGE_BYTES} bytes")
        if kind == "image/*":
            incoming.prefer_format(inner(messages.first, binding), wanted)
        metadata = [("x-request-id", request.state.request_id)]
        metadata += passed_on(request)
        limit = self.settings.max_answer_bytes
        try:
            async with Call(self.channels[method.server], method, messages, metadata, timeout) as call:
                if method.raw:
                    await answers.as_bytes(call, exchange)
                elif kind == "image/*":
                    await answers.as_image(call, exchange, limit, request.headers.get("if-none-match", ""))
                elif kind == "text/event-stream":
                    await answers.as_events(call, exchange, limit, self.settings.heartbeat_seconds)
                elif kind == "application/x-ndjson":
                    await answers.as_lines(call, exchange, limit)
                else:
                    await answers.as_json(call, binding, exchange, limit)
        except ApiError as error:
            error.violations = tuple(
                Violation(incoming.json_path(item.field, binding), item.description) for item in error.violations
            )
            raise
        finally:
            messages.close()

    async def while_wanted(
        self, work: Coroutine[Any, Any, None], body: Body, exchange: Exchange, binding: Binding
    ) -> None:
        """Runs `work` until it is done, the client is gone, or, for watches, the gateway drains."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(body.gone())
        drained = asyncio.ensure_future(self.draining.wait()) if binding.watches else None
        try:
            await asyncio.wait({task, gone, *([drained] if drained else [])}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            task.cancel()
            await asyncio.wait({task})
            if gone.done():
                raise ClientGone
            draining = ApiError("DRAINING", "the gateway is shutting down", retry_after=1.0)
            if not exchange.started:
                raise draining
            # Without an end event, an EventSource connects again, to the next gateway.
            await exchange.end()
        finally:
            task.cancel()
            gone.cancel()
            if drained is not None:
                drained.cancel()
            await asyncio.wait({task, gone, *([drained] if drained else [])})


def inner(message: Any, binding: Binding) -> Any:
    """What the body describes: the request itself, or the field that the rule names."""
    return message if binding.body in ("", "*") else getattr(message, binding.body)


def deadline(request: Request, default: float | None) -> float | None:
    """Seconds that the call may take: the header grpc-timeout (`500m`, `30S`), else `default`."""
    text = request.headers.get("grpc-timeout")
    if text is None:
        return default
    match = TIMEOUT.fullmatch(text.strip())
    if match is None:
        raise malformed("header grpc-timeout: expected up to 8 digits and a unit of H, M, S, m, u or n, such as 30S")
    # Above some 292 years gRPC's clock turns over, and the deadline would lie in the past.
    return min(int(match[1]) * SECONDS[match[2]], LONGEST_SECONDS)


def passed_on(request: Request) -> list[tuple[str, str]]:
    """Headers as metadata. Raises ApiError on one that gRPC can't carry."""
    found = [(name, request.headers[name].strip()) for name in PASSED_ON if name in request.headers]
    for name, value in found:
        if not METADATA.fullmatch(value):
            raise malformed(f"header {name}: must be printable ASCII")
    return found


def by_path(bindings: Sequence[Binding]) -> Mapping[str, list[Binding]]:
    """Bindings by path template, those without variables first, for `/jobs/{job_id}` would match whatever lies beside it."""
    paths: dict[str, list[Binding]] = {}
    for binding in sorted(bindings, key=lambda item: (len(item.variables), -len(item.template))):
        paths.setdefault(binding.template, []).append(binding)
    return paths
