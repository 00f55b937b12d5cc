"""Whether the servers behind the gateway can be used."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.types import Receive, Scope, Send

from imajin_gateway.answers import Exchange, compact
from imajin_gateway.calls import Channels

PATIENCE_SECONDS = 1.0
HEALTH = ("/health", "/health/live")


class Health:
    """GET /health: the state of each server, by gRPC's health protocol. 200 where all serve, else 503.

    GET /health/live says only that the gateway itself answers.
    """

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self.asked: asyncio.Task[dict[str, str]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        servers: dict[str, str] = {}
        if not scope["path"].endswith("/live"):
            # Whoever asks meanwhile shares the answer: a thousand at once would make the servers look dead.
            if self.asked is None or self.asked.done():
                self.asked = asyncio.create_task(self.states())
            servers = await asyncio.shield(self.asked)
        well = all(state == "serving" for state in servers.values())
        body = {"status": "ok" if well else "degraded", "gateway": "serving", "servers": servers}
        await Exchange(scope, send).whole(
            200 if well else 503, "application/json", compact(body), {"cache-control": "no-store"}
        )

    async def states(self) -> dict[str, str]:
        """The state of each server, by name."""
        names = list(self.channels.by_server)
        return dict(zip(names, await asyncio.gather(*(self.state(name) for name in names)), strict=True))

    async def state(self, server: str) -> str:
        """`serving`, `not-serving`, `unknown` or `unreachable`."""
        stub: Any = health_pb2_grpc.HealthStub(self.channels[server])
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        except grpc.aio.AioRpcError:
            return "unreachable"
        name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return name.lower().replace("_", "-")
