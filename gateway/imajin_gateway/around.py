"""What happens around every request: its id, its log line, the limit on how many run, and errors made into answers."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imajin_gateway import metrics
from imajin_gateway.admission import Admission
from imajin_gateway.answers import Exchange, compact
from imajin_gateway.body import ClientGone
from imajin_gateway.errors import CLIENT_CLOSED_REQUEST, ApiError
from imajin_gateway.health import HEALTH

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")

log = structlog.get_logger()


class Around:
    """Wraps the whole app."""

    def __init__(self, app: ASGIApp, limit: int, admission: Admission) -> None:
        self.app = app
        self.limit = limit
        self.admission = admission
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
                # Whoever watches it asks for ever.
                well = scope["path"] in HEALTH and status == 200
                (log.debug if well else log.info)(
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
            self.admit(headers, scope)
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

    def admit(self, headers: Headers, scope: Scope) -> None:
        """Raises ApiError where a request may not come in."""
        # However busy the gateway is: whoever watches it must not take it for dead.
        if self.running > self.limit and scope["path"] not in HEALTH:
            raise ApiError("QUEUE_FULL", f"{self.limit} requests are running already", retry_after=1.0)
        self.admission.check(scope["method"], headers)
