"""A proxy that cuts connections."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """Passes bytes to a server, and can cut every connection."""

    def __init__(self, target: str) -> None:
        self.host, _, port = target.rpartition(":")
        self.port = int(port)
        self.writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.connected_again = asyncio.Event()

    @classmethod
    async def open(cls, target: str) -> Proxy:
        proxy = cls(target)
        proxy.server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.address = f"127.0.0.1:{proxy.server.sockets[0].getsockname()[1]}"
        return proxy

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections > 1:
            self.connected_again.set()
        there, onward = await asyncio.open_connection(self.host, self.port)
        self.writers += [writer, onward]
        await asyncio.gather(pass_on(reader, onward), pass_on(there, writer))

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        self.server.close()
        await self.server.wait_closed()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
