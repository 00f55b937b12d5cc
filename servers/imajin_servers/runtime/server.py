"""Start-up and shutdown of a server: bind, health, reflection, signals, drain."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from imajin_servers.runtime import logs, metrics
from imajin_servers.runtime.calls import CallInterceptor
from imajin_servers.runtime.settings import ServerSettings

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
OPTIONS: Sequence[tuple[str, Any]] = (
    # A forgotten server would silently take part of the calls: SO_REUSEPORT is on by default.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this a keepalive ping waits a minute for its answer, whatever keepalive_timeout says.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

log = structlog.get_logger()
SettingsT = TypeVar("SettingsT", bound=ServerSettings)


@dataclass(frozen=True)
class Service:
    """One gRPC service of a server: its full name, and its servicer with the generated function that adds it."""

    name: str
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object


@dataclass
class Lifetime:
    """What a server's parts may know about its life. `draining` is set before calls are cut off: watches end on it."""

    draining: asyncio.Event = field(default_factory=asyncio.Event)


Build = Callable[[SettingsT, Lifetime], AbstractAsyncContextManager[Sequence[Service]]]


def run(name: str, settings_class: type[SettingsT], build: Build[SettingsT]) -> None:
    """Runs the server `name` until SIGINT or SIGTERM.

    Exit status 2 on bad settings, 3 when its port is taken, 1 when a file or folder that it needs can't be used.
    """
    try:
        settings = settings_class()
    except (OSError, ValueError) as error:
        print(f"imajin {name}: bad settings: {error}", file=sys.stderr)
        sys.exit(2)
    logs.configure(name, settings.log_level, settings.log_json)
    tell_where()
    sys.exit(asyncio.run(serve(name, settings, build)))


def tell_where() -> None:
    """Has this process write to its log where each thread is: when native code crashes, and on SIGUSR1, even while it hangs."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)


async def serve(name: str, settings: SettingsT, build: Build[SettingsT]) -> int:
    """Serves until a signal; returns the exit status."""
    address = settings.listen or getattr(settings.addresses, name)
    lifetime = Lifetime()
    stopped = stop_signal()
    server = grpc.aio.server(
        interceptors=[CallInterceptor()], options=OPTIONS, maximum_concurrent_rpcs=settings.max_concurrent_calls
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        print(
            f"imajin {name}: {address} is taken or can't be bound; set IMAJIN_{name.upper()}_ADDRESS", file=sys.stderr
        )
        return 3
    with metrics.served(settings.metrics_address):
        async with AsyncExitStack() as held:
            try:
                services = await held.enter_async_context(build(settings, lifetime))
            except ValueError as error:
                print(f"imajin {name}: bad settings: {error}", file=sys.stderr)
                return 2
            except OSError as error:
                print(f"imajin {name}: can't start: {error}", file=sys.stderr)
                return 1
            states = health.aio.HealthServicer()
            health_pb2_grpc.add_HealthServicer_to_server(states, server)
            for service in services:
                service.add(service.servicer, server)
            names = [service.name for service in services]
            reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
            out_of_sight()
            await server.start()
            for served in ["", *names]:
                await states.set(served, health_pb2.HealthCheckResponse.SERVING)
            log.info("serving", address=address, port=port, services=names)
            await stopped.wait()
            log.info("draining", seconds=settings.drain_seconds)
            await states.enter_graceful_shutdown()
            lifetime.draining.set()
            await server.stop(settings.drain_seconds)
    log.info("stopped")
    return 0


def out_of_sight() -> None:
    """Has Python's collector look at nothing that start-up has made, which is there to the end.

    A full collection of it halted the event loop of the processing server for 100 ms under load; in the diffusion server, which sweeps
    whenever a model leaves the card, it took 270 ms of each sweep, and takes 4 now.
    """
    gc.collect()
    gc.freeze()


def stop_signal() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, from now on: a signal during start-up stops the server as soon as it serves."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped
