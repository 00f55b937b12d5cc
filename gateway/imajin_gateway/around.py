"""What happens around every request: its id, its log line, the limit on how many run, and errors made into answers."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imajin_gateway import metrics
from imajin_gateway.answers import Exchange, compact
from imajin_gateway.body import ClientGone
from imajin_gateway.errors import CLIENT_CLOSED_REQUEST, ApiError

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")
LOOPBACK = ("localhost", "::1")

log = structlog.get_logger()


class Around:
    """Wraps the whole app. `hosts` are the names that a request's Host header may carry; empty allows all."""

    def __init__(self, app: ASGIApp, limit: int, hosts: frozenset[str]) -> None:
        self.app = app
        self.limit = limit
        self.hosts = hosts
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Runs one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:16]
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(raw=message["headers"])
                sent["x-request-id"] = request_id
                sent["x-content-type-options"] = "nosniff"
                message["headers"] = sent.raw
            await send(message)

        began = time.monotonic()
        self.running += 1
        metrics.RUNNING.set(self.running)
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                error = await self.run(headers, scope, receive, marked)
                if error is not None and status == 0:
                    await Exchange(scope, marked).whole(
                        error.status, "application/json", compact(error.body), error.headers
                    )
                elapsed = round((time.monotonic() - began) * 1000, 1)
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status or CLIENT_CLOSED_REQUEST,
                    ms=elapsed,
                    **({"error": error.message, "code": error.code} if error else {}),
                )
        finally:
            self.running -= 1
            metrics.RUNNING.set(self.running)
            metrics.ended(scope, status or CLIENT_CLOSED_REQUEST, time.monotonic() - began)

    async def run(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> ApiError | None:
        """Runs the app; returns the error that it ended with, as HTTP shows it."""
        try:
            self.admit(headers)
            await self.app(scope, receive, send)
        except ApiError as error:
            return error
        except ClientGone:
            return None
        except Exception as error:  # The one place where the unknown is caught: its text stays in the log.
            error_id = uuid.uuid4().hex[:12]
            log.error("internal error", error_id=error_id, exc_info=error)
            return ApiError("INTERNAL", f"internal error {error_id}", details={"error_id": error_id})
        return None

    def admit(self, headers: Headers) -> None:
        """Raises ApiError where a request may not come in."""
        if self.running > self.limit:
            raise ApiError("QUEUE_FULL", f"{self.limit} requests are running already", retry_after=1.0)
        host = host_name(headers.get("host", ""))
        if self.hosts and host not in self.hosts and not (LOOPBACK[0] in self.hosts and host.startswith("127.")):
            # A page of another site can point its own name at this machine (DNS rebinding); its Host gives it away.
            raise ApiError(
                "HOST_NOT_ALLOWED",
                f"this gateway does not answer to the host name {host[:100]!r}; see IMAJIN_GATEWAY_HOSTS",
                details={"host": host[:100]},
            )


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    name = header.strip().lower()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def allowed_hosts(configured: list[str], bound: str) -> frozenset[str]:
    """Names that requests may carry: the configured ones, else loopback names for a gateway that only this machine reaches."""
    if configured:
        return frozenset() if "*" in configured else frozenset(name.lower() for name in configured)
    local = bound in LOOPBACK or bound.startswith("127.")
    return frozenset(LOOPBACK) if local else frozenset()
