"""Whether a server serves: gRPC's health protocol, `GET /health/live` of the gateway, and who listens at all."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2

PATIENCE_SECONDS = 2.0


async def grpc_serves(address: str) -> bool:
    """Whether the gRPC server at `address` says SERVING for the whole of itself."""
    async with grpc.aio.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def http_serves(address: str) -> bool:
    """Whether the gateway at `address` answers. It says nothing of the servers behind it, which have probes of their own."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


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
