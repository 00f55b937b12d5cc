"""Whether a server serves, or at least answers: gRPC's health protocol, `GET /health/live` of the gateway, and who listens at all."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

PATIENCE_SECONDS = 2.0
SILENCE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


async def grpc_serves(address: str) -> bool:
    """Whether the gRPC server at `address` says SERVING for the whole of itself."""
    return await grpc_health(address, PATIENCE_SECONDS) == health_pb2.HealthCheckResponse.SERVING


async def grpc_answers(address: str, seconds: float) -> bool:
    """Whether the gRPC server at `address` says anything within `seconds`: that it is full or draining is an answer, too."""
    return await grpc_health(address, seconds) not in SILENCE


async def grpc_health(address: str, seconds: float) -> int | grpc.StatusCode:
    """What the gRPC server at `address` says of the whole of itself, or the status that asking ends with."""
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return int(answer.status)


async def http_serves(address: str) -> bool:
    """Whether the gateway at `address` is well. It says nothing of the servers behind it, which have probes of their own."""
    return b" 200 " in await http_health(address, PATIENCE_SECONDS)


async def http_answers(address: str, seconds: float) -> bool:
    """Whether the gateway at `address` says anything within `seconds`."""
    return bool(await http_health(address, seconds))


async def http_health(address: str, seconds: float) -> bytes:
    """The first line of what the gateway at `address` answers; empty without an answer."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


async def taken(address: str) -> bool:
    """Whether someone listens at `address` already."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, ValueError, TimeoutError):
        return False
    writer.close()
    return True
