"""The vram server as a process, and a holder that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient

GIB = 1024**3
HOLDER = """
import asyncio, sys
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.leases import LeaseClient

async def main():
    lease = await LeaseClient(connect(sys.argv[1])).acquire(int(sys.argv[2]), holder="doomed", ttl=1)
    print(lease.fencing_token, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`python -m imajin_servers.vram`."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log

    async def start(self, **variables: str) -> None:
        environment = {
            **os.environ,
            **variables,
            "IMAJIN_VRAM_ADDRESS": self.address,
            "IMAJIN_VRAM_CARDS": "simulated",
            "IMAJIN_VRAM_SIMULATED_BYTES": "2GiB",
        }
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "imajin_servers.vram", env=environment, stderr=log
            )
        channel = connect(self.address)
        await asyncio.wait_for(channel.channel_ready(), 30)
        await channel.close()

    async def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return await self.process.wait()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(f"127.0.0.1:{free_port()}", tmp_path / "vram.log")
    await server.start()
    yield server
    if server.process.returncode is None:
        await server.stop(signal.SIGKILL)


async def holder(*arguments: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )


async def test_what_a_killed_holder_had_is_free_after_its_ttl(server: Server) -> None:
    doomed = await holder(server.address, 2 * GIB)
    assert doomed.stdout is not None
    token = int(await doomed.stdout.readline())
    channel = connect(server.address)
    asking = asyncio.create_task(LeaseClient(channel).acquire(GIB, holder="next"))
    doomed.kill()
    await doomed.wait()
    lease = await asyncio.wait_for(asking, 30)
    assert lease.fencing_token > token
    await lease.release()
    await channel.close()


async def test_tokens_grow_over_a_restart_and_old_leases_are_lost(server: Server) -> None:
    channel = connect(server.address)
    client = LeaseClient(channel)
    lease = await client.acquire(GIB, holder="survivor")
    await server.stop(signal.SIGKILL)
    await server.start()
    await asyncio.wait_for(lease.lost.wait(), 30)
    again = await client.acquire(2 * GIB, holder="survivor")
    assert again.fencing_token > lease.fencing_token
    await again.release()
    await channel.close()


async def test_a_lease_outlives_the_server_that_keeps_a_journal(server: Server, tmp_path: Path) -> None:
    await server.stop(signal.SIGTERM)
    journal = {"IMAJIN_VRAM_JOURNAL": str(tmp_path / "kept" / "leases.json")}
    await server.start(**journal)
    channel = connect(server.address)
    client = LeaseClient(channel)
    lease = await client.acquire(GIB, holder="survivor", priority=70, preemptible=True)
    await server.stop(signal.SIGKILL)
    await server.start(**journal)
    await lease.resize(GIB // 2)
    assert lease.held
    stub = vram_lease_pb2_grpc.VramLeaseServiceStub(channel)
    [kept] = (await stub.ListLeases(pb.ListLeasesRequest())).leases
    assert (kept.fencing_token, kept.holder, kept.bytes) == (lease.fencing_token, "survivor", GIB // 2)
    assert (kept.priority, kept.preemptible) == (70, True)
    another = await client.acquire(GIB, holder="another")
    assert another.fencing_token > lease.fencing_token
    await another.release()
    await lease.release()
    await channel.close()


async def test_sigterm_asks_the_leases_back_and_waits_for_them(server: Server) -> None:
    channel = connect(server.address)
    lease = await LeaseClient(channel).acquire(GIB, holder="polite")
    stopping = asyncio.create_task(server.stop(signal.SIGTERM))
    await asyncio.wait_for(lease.revoked.wait(), 30)
    assert lease.revoke_reason == "DRAINING"
    lease.check()
    await lease.release()
    assert not lease.lost.is_set()
    assert await asyncio.wait_for(stopping, 30) == 0
    await channel.close()
