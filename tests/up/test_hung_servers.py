"""A server that no longer answers is ended and starts again; one that is only busy is left alone."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from imajin_client.up import Phase, UpSettings
from imajin_client.up.liveness import silence
from imajin_client.up.probes import grpc_answers, grpc_serves, http_answers
from imajin_client.up.programs import Program

SERVER = """
import asyncio, faulthandler, signal, sys
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

def never_comes_back():
    while True:
        pass

async def main():
    server, states, loop, stopped = grpc.aio.server(), health.aio.HealthServicer(), asyncio.get_running_loop(), asyncio.Event()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    server.add_insecure_port(sys.argv[1])
    await server.start()
    await states.set("", health_pb2.HealthCheckResponse.SERVING)
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    loop.add_signal_handler(signal.SIGUSR2, never_comes_back)
    await stopped.wait()
    await server.stop(0)

faulthandler.register(signal.SIGUSR1)
asyncio.run(main())
"""
# The real ones wait longer: a check that a healthy but starved server misses would make these tests depend on the machine.
SOON = {"liveness_seconds": 0.2, "liveness_timeout": 3.0, "liveness_failures": 2, "stop_seconds": 0.2}


async def never(address: str, seconds: float) -> bool:
    return False


def watched(program: Program, answers: Any) -> Program:
    """`program`, with health checks that the test answers."""
    return Program(program.name, program.command, program.address, program.serves, answers=answers)


async def test_a_blocked_loop_is_ended_started_again_and_says_where_it_hung(small: Any, start: Any) -> None:
    address = small.free_address()
    command = (sys.executable, "-c", SERVER, address)
    up = start(
        Program("server", command, address, grpc_serves, answers=grpc_answers, tells_where=True),
        small.listener("front", needs=["server"]),
        **SOON,
    )
    first = (await up.all_serve())["server"]
    os.kill(first.pid, signal.SIGUSR2)
    states = await up.until(lambda states: states["server"].phase is Phase.CRASHED)
    said = r"hung, no answer for \d+ s; killed by SIGKILL; again in 0\.05 s"
    assert re.fullmatch(said, states["server"].detail)
    assert small.gone(first.pid)
    assert "in never_comes_back" in first.log.read_text()
    states = await up.all_serve()
    assert (states["server"].restarts, states["front"].restarts) == (1, 0)
    phases = [phase for name, phase in up.history if name == "server"]
    assert phases[2:] == [Phase.SERVING, Phase.STOPPING, Phase.CRASHED, Phase.RESTARTING, Phase.SERVING]


async def test_pauses_grow_with_each_hang_however_long_the_silence_lasted(small: Any, start: Any) -> None:
    pauses: list[str] = []
    up = start(
        watched(small.listener("mute"), never),
        liveness_seconds=0.6,
        liveness_failures=1,
        settle_seconds=0.5,
        attempts=1,
    )
    for restarts in range(3):
        states = await up.until(
            lambda states, restarts=restarts: (
                (states["mute"].phase, states["mute"].restarts) == (Phase.CRASHED, restarts)
            )
        )
        pauses.append(states["mute"].detail.rpartition("again in ")[2])
    assert pauses == ["0.05 s", "0.1 s", "0.2 s"]


async def test_a_server_that_comes_back_in_its_grace_stops_by_itself(small: Any, start: Any) -> None:
    up = start(watched(small.listener("slow"), never), liveness_seconds=0.01, liveness_failures=1, stop_seconds=30)
    states = await up.until(lambda states: states["slow"].phase is Phase.CRASHED)
    assert re.fullmatch(r"hung, no answer for \d+ s; exit status 0; again in 0\.05 s(: .*)?", states["slow"].detail)


async def test_nobody_asks_where_it_is_turned_off(small: Any, start: Any) -> None:
    asked = []

    async def answers(address: str, seconds: float) -> bool:
        asked.append(address)
        return False

    up = start(watched(small.listener("debugged"), answers), small.listener("crashes"), liveness_seconds=0)
    first = (await up.all_serve())["crashes"].pid
    os.kill(first, signal.SIGKILL)
    await up.until(lambda states: states["crashes"].restarts == 1)
    states = await up.all_serve()
    assert asked == []
    assert states["debugged"].restarts == 0


async def test_a_supervisor_that_stops_while_it_ends_a_hung_server_leaves_nothing(small: Any, start: Any) -> None:
    up = start(
        watched(small.listener("deaf", "deaf"), never), liveness_seconds=0.01, liveness_failures=1, stop_seconds=60
    )
    states = await up.until(lambda states: states["deaf"].phase is Phase.STOPPING)
    pid = states["deaf"].pid
    os.kill(os.getpid(), signal.SIGTERM)
    assert await up.status() == 0
    assert small.gone(pid, seconds=0)
    assert up.states["deaf"].phase is Phase.STOPPED


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_only_failures_in_a_row_count(answers: list[bool], failures: int) -> None:
    time = 0.0
    heard = [0.0]
    ends_with_silence = [*answers, *[False] * failures]

    async def sleep(seconds: float) -> None:
        nonlocal time
        time += seconds

    async def answer() -> bool:
        nonlocal time
        time += 1
        if said := ends_with_silence.pop(0):
            heard.append(time)
        return said

    assert asyncio.run(silence(answer, 10, failures, now=lambda: time, sleep=sleep)) == heard[-1]
    asked = [*answers, *[False] * failures][: len(answers) + failures - len(ends_with_silence)]
    assert asked[-failures:] == [False] * failures
    runs = "".join("x" if said else "-" for said in asked)
    assert runs.find("-" * failures) == len(asked) - failures


@asynccontextmanager
async def serving(*, most: int | None = None) -> AsyncIterator[tuple[str, Any]]:
    """A gRPC server with health, in this loop."""
    server = grpc.aio.server(maximum_concurrent_rpcs=most)
    states = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(states, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}", states
    await server.stop(0)


async def test_a_server_that_is_full_or_draining_lives() -> None:
    async with serving() as (address, states):
        await states.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert await grpc_answers(address, 30)
        assert not await grpc_serves(address)
    async with serving(most=1) as (address, states), grpc.aio.insecure_channel(address) as channel:
        # The stubs' types know only Check.
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest())
        await watching.read()
        assert await grpc_answers(address, 30)
        assert not await grpc_serves(address)
        watching.cancel()


async def test_a_port_that_accepts_and_says_nothing_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        address = f"127.0.0.1:{opened.getsockname()[1]}"
        assert not await grpc_answers(address, 0.2)
        assert not await http_answers(address, 0.2)
    assert not await grpc_answers(address, 0.2)
    assert not await http_answers(address, 0.2)


async def test_a_gateway_that_is_busy_lives() -> None:
    async def full(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(full, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await http_answers(f"127.0.0.1:{port}", 30)


@pytest.mark.parametrize("name", ["liveness_timeout", "liveness_failures", "liveness_seconds"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        UpSettings.model_validate({name: -1})
