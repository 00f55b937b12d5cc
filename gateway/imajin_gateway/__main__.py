"""`python -m imajin_gateway`: serves until SIGINT or SIGTERM. Exit status 2 on bad settings, 3 when its port is taken."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import signal
import socket
import sys
from collections.abc import Iterator

import structlog
import uvicorn

from imajin_gateway import logs, metrics
from imajin_gateway.app import make_app
from imajin_gateway.connection import patient
from imajin_gateway.settings import GatewaySettings

log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn, but for its signals: it would end the process by the signal itself, and knows nothing of watches."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to whoever runs this."""
        yield


def main() -> int:
    """Runs the gateway; returns the exit status."""
    try:
        settings = GatewaySettings()
        host, port = settings.bind
    except (OSError, ValueError) as error:
        print(f"imajin gateway: bad settings: {error}", file=sys.stderr)
        return 2
    logs.configure("gateway", settings.log_level, settings.log_json)
    # Where each thread is goes to the log when native code crashes, and on SIGUSR1, even while this process hangs.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    try:
        listener = bind(host, port)
    except OSError as error:
        reason = error.strerror or error
        print(f"imajin gateway: {host}:{port} can't be bound ({reason}); set IMAJIN_GATEWAY_ADDRESS", file=sys.stderr)
        return 3
    return asyncio.run(serve(settings, listener))


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError where the port is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # With its protocol named: asyncio sets TCP_NODELAY on no other, and an answer in two writes then waits 40 ms for an ACK.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


async def serve(settings: GatewaySettings, listener: socket.socket) -> int:
    """Serves on `listener` until a signal; a second signal ends what still runs."""
    draining = asyncio.Event()
    app = make_app(settings, draining)
    config = uvicorn.Config(
        app,
        http=patient(settings.head_seconds),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
    server = Server(config)

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        draining.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    host, port = listener.getsockname()[:2]
    log.info("serving", address=f"{host}:{port}")
    # What start-up has made is there to the end: a full collection of it would only halt the event loop.
    gc.collect()
    gc.freeze()
    with metrics.served(settings.metrics_address):
        await server.serve(sockets=[listener])
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
