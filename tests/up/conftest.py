"""Small programs to supervise, and ways to see that they are gone."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imajin_client.up import Phase, ServerState, UpSettings, supervise
from imajin_client.up.probes import taken
from imajin_client.up.programs import Program

LISTENER = """
import os, signal, socket, subprocess, sys, time
address, tricks = sys.argv[1], sys.argv[2:]
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in tricks else lambda *_: sys.exit(0))
if "parent" in tricks:
    print("grandchild", subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
host, port = address.split(":")
listener = socket.create_server((host, int(port)))
print("listening", flush=True)
while True:
    listener.accept()[0].close()
"""
SAYS_AND_ENDS = "import sys; print('some line'); print(sys.argv[1], flush=True); sys.exit(int(sys.argv[2]))"


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def listener(name: str, *tricks: str, needs: Sequence[str] = ()) -> Program:
    """A program that listens at its address until SIGTERM; `deaf` ignores that, `parent` starts another process."""
    address = free_address()
    return Program(name, (sys.executable, "-c", LISTENER, address, *tricks), address, taken, needs)


def short(name: str, line: str, status: int, needs: Sequence[str] = ()) -> Program:
    """A program that writes `line` and ends with `status`."""
    return Program(name, (sys.executable, "-c", SAYS_AND_ENDS, line, str(status)), free_address(), taken, needs)


def gone(pid: int, seconds: float = 20) -> bool:
    """Waits for the end of any process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


@pytest.fixture(scope="session")
def small() -> SimpleNamespace:
    """What tests of this folder share: they can't import it."""
    return SimpleNamespace(listener=listener, short=short, gone=gone, free_address=free_address)


class Up:
    """A supervisor in the test's own loop."""

    def __init__(self, config: UpSettings, programs: Sequence[Program]) -> None:
        self.history: list[tuple[str, Phase]] = []
        self.states: dict[str, ServerState] = {}
        self.changed = asyncio.Event()
        self.task = asyncio.create_task(supervise(config, self.on_change, programs))

    def on_change(self, states: list[ServerState]) -> None:
        for state in states:
            before = self.states.get(state.name)
            if before is None or before.phase is not state.phase:
                self.history.append((state.name, state.phase))
            self.states[state.name] = state
        self.changed.set()

    async def until(self, wanted: Callable[[dict[str, ServerState]], bool]) -> dict[str, ServerState]:
        async with asyncio.timeout(30):
            while not (self.states and wanted(self.states)):
                self.changed.clear()
                await self.changed.wait()
        return self.states

    async def all_serve(self) -> dict[str, ServerState]:
        return await self.until(lambda states: all(state.phase is Phase.SERVING for state in states.values()))

    async def status(self) -> int:
        async with asyncio.timeout(30):
            return await self.task


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Up]]:
    """Starts a supervisor; what still runs at the end of the test is stopped."""
    running: list[Up] = []

    def started(*programs: Program, **settings: Any) -> Up:
        chosen = {"state_dir": tmp_path, "backoff_seconds": 0.05, "stop_seconds": 5, **settings}
        running.append(Up(UpSettings(**chosen), programs))
        return running[-1]

    yield started
    for up in running:
        if not up.task.done():
            up.task.cancel()
        await asyncio.gather(up.task, return_exceptions=True)


SUPERVISOR = """
import asyncio, json, sys
from imajin_client.up import UpSettings, supervise
from imajin_client.up.probes import taken
from imajin_client.up.programs import Program

programs = [Program(name, command, address, taken, needs) for name, command, address, needs in json.loads(sys.argv[1])]
show = lambda states: print(json.dumps([[s.name, s.phase, s.pid] for s in states]), flush=True)
sys.exit(asyncio.run(supervise(UpSettings(state_dir=sys.argv[2], stop_seconds=float(sys.argv[3])), show, programs)))
"""


class OutsideUp:
    """A supervisor in a process of its own, which can be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pids: dict[str, int] = {}

    @classmethod
    async def start(cls, folder: Path, *programs: Program, stop_seconds: float = 5) -> OutsideUp:
        facts = [(p.name, list(p.command), p.address, list(p.needs)) for p in programs]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SUPERVISOR, json.dumps(facts), str(folder), str(stop_seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process)

    @classmethod
    async def start_by_another(cls, folder: Path, program: Program) -> OutsideUp:
        """The same, started with `with_parent` by a process that does nothing else: this object's `process`."""
        facts = json.dumps([(program.name, list(program.command), program.address, [])])
        script = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script, SUPERVISOR, facts, str(folder), "5"),
            env={**os.environ, "IMAJIN_UP_WITH_PARENT": "1"},
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def until(self, phase: Phase) -> None:
        """Reads states until all are in `phase`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self.process.stdout.readline():
                states = json.loads(line)
                self.pids.update({name: pid for name, _, pid in states if pid})
                if all(state == phase for _, state, _ in states):
                    return
        raise AssertionError("the supervisor ended")

    def send(self, number: int) -> None:
        self.process.send_signal(number)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[SimpleNamespace]:
    """Starts a supervisor in a process of its own."""
    running: list[OutsideUp] = []

    async def started(*programs: Program, **settings: Any) -> OutsideUp:
        running.append(await OutsideUp.start(tmp_path, *programs, **settings))
        return running[-1]

    async def started_by_another(program: Program) -> OutsideUp:
        running.append(await OutsideUp.start_by_another(tmp_path, program))
        return running[-1]

    yield SimpleNamespace(start=started, start_by_another=started_by_another)
    for up in running:
        if up.process.returncode is None:
            up.send(signal.SIGKILL)
        await up.process.communicate()
