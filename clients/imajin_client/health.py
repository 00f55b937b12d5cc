"""Whether the servers answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import grpc
from grpc_health.v1 import health_pb2

from imajin_client.calls import Wire, cancel

State = Literal["serving", "not-serving", "unreachable"]


@dataclass(frozen=True)
class Health:
    """How one server answered."""

    server: str
    address: str
    state: State
    round_trip_ms: float
    """Time of the health call, connecting included."""
    text: str = ""
    """What the transport said, where the server did not answer."""

    @property
    def ok(self) -> bool:
        """Whether the server takes calls."""
        return self.state == "serving"


async def check(wire: Wire, server: str, timeout: float | None) -> Health:
    """Asks the health service of `server`, of the whole server."""
    began = time.perf_counter()
    state: State = "unreachable"
    text = ""
    method = wire.channel(server).unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    call = method(health_pb2.HealthCheckRequest(), timeout=timeout)
    try:
        answer = await call
        state = "serving" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not-serving"
    except grpc.aio.AioRpcError as error:
        text = error.details() or error.code().name
    finally:
        cancel(call)
    return Health(server, wire.addresses[server], state, round((time.perf_counter() - began) * 1000, 2), text)
