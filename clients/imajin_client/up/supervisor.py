"""The supervisor: starts programs in order of need, restarts those that crash or hang, stops all in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imajin_client.up import tether
from imajin_client.up.backoff import Backoff
from imajin_client.up.child import Child, how_it_ended
from imajin_client.up.liveness import silence
from imajin_client.up.probes import taken
from imajin_client.up.programs import Program, suite
from imajin_client.up.settings import UpSettings
from imajin_client.up.state import Phase, ServerState

BAD_SETTINGS, ADDRESS_TAKEN, GAVE_UP = 2, 3, 1
"""Exit statuses: the first two are the servers' own, and mean that a restart can't help."""
PROBE_SECONDS = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

OnChange = Callable[[list[ServerState]], None]


@dataclass(frozen=True)
class Run:
    """How one run of a program went."""

    status: int
    """Its exit status, or minus the signal."""
    served: float | None = None
    """Seconds from when it served to when it last gave a sign of life; none where it never served."""
    why: str = ""
    """Why the supervisor ended it, in words; empty where it ended by itself."""

    @property
    def end(self) -> str:
        """How it ended, in words."""
        return f"{self.why}; {how_it_ended(self.status)}" if self.why else how_it_ended(self.status)


async def supervise(config: UpSettings, on_change: OnChange, programs: Sequence[Program] | None = None) -> int:
    """Runs `programs` (the suite, as `config` says) until a signal, and tells `on_change` the state of all at each change.

    The exit status: 0 after a signal; that of the server whose settings are bad (2) or whose address is taken (3); 1 after
    a server failed to serve too often. Cancelled, it stops everything first. Use it in the main thread.
    """
    supervisor = Supervisor(config, on_change, suite(config) if programs is None else programs)
    if config.with_parent:
        tether.tie(os.getppid(), signal.SIGTERM)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, supervisor.interrupt)
    try:
        return await supervisor.run()
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


class Supervisor:
    """One suite and its states."""

    def __init__(self, config: UpSettings, on_change: OnChange, programs: Sequence[Program]) -> None:
        self.config = config
        self.on_change = on_change
        self.programs = {program.name: program for program in programs}
        self.states = {
            program.name: ServerState(program.name, program.address, config.log_of(program.name))
            for program in programs
        }
        self.serving = {program.name: asyncio.Event() for program in programs}
        self.children: dict[str, Child] = {}
        self.keepers: dict[str, asyncio.Task[None]] = {}
        self.finished = asyncio.Event()
        self.hurry = asyncio.Event()
        self.status = 0

    def interrupt(self) -> None:
        """Stops the suite; a second time, kills what has not stopped yet."""
        if self.finished.is_set():
            self.hurry.set()
        self.finished.set()

    async def run(self) -> int:
        """Starts everything, waits for a reason to stop, stops everything."""
        self.on_change(list(self.states.values()))
        for program in self.programs.values():
            keeper = self.keepers[program.name] = asyncio.create_task(self.keep(program))
            keeper.add_done_callback(self.kept)
        try:
            await self.finished.wait()
        finally:
            stopping = asyncio.create_task(self.stop())
            while not stopping.done():
                try:
                    await asyncio.shield(stopping)
                except asyncio.CancelledError:
                    # Whoever cancels once more is in a hurry; nothing may be left behind for that.
                    self.hurry.set()
        for keeper in self.keepers.values():
            if not keeper.cancelled():
                keeper.result()
        return self.status

    def kept(self, keeper: asyncio.Task[None]) -> None:
        """A keeper that fails, such as on a folder that can't be written, ends the suite; `run` raises its error."""
        if not keeper.cancelled() and keeper.exception() is not None:
            self.finished.set()

    async def keep(self, program: Program) -> None:
        """Starts `program` once what it needs serves, and again whenever it ends."""
        backoff = Backoff(self.config.backoff_seconds, self.config.backoff_limit, self.config.settle_seconds)
        for need in program.needs:
            await self.serving[need].wait()
        if await taken(program.address):
            self.fail(program, ADDRESS_TAKEN, f"{program.address} is taken by another process")
            return
        ever_served = False
        for restarts in itertools.count():
            run = await self.run_once(program, restarts)
            child = self.children.pop(program.name)
            line = child.last_words(program.name)
            ever_served = ever_served or run.served is not None
            if run.status in (BAD_SETTINGS, ADDRESS_TAKEN):
                self.fail(program, run.status, line)
                return
            pause = backoff.after(run.served or 0.0)
            if not ever_served and backoff.crashes >= self.config.attempts:
                self.fail(program, GAVE_UP, f"{run.end} {backoff.crashes} times: {line}")
                return
            # Killed from outside, it had no chance to say why.
            words = f": {line}" if run.status > 0 else ""
            self.change(program, Phase.CRASHED, pid=None, detail=f"{run.end}; again in {pause:g} s{words}")
            await asyncio.sleep(pause)

    async def run_once(self, program: Program, restarts: int) -> Run:
        """One run from start to end."""
        state = self.states[program.name]
        child = await self.start(program, state.log)
        phase = Phase.RESTARTING if restarts else Phase.STARTING
        self.change(program, phase, pid=child.process.pid, restarts=restarts, detail="")
        ended = asyncio.create_task(child.ended())
        try:
            if not await self.comes_to_serve(program, ended):
                late = "" if ended.done() else f"did not serve within {self.config.start_seconds:g} s"
                if late:
                    child.kill_group()
                return Run(await ended, why=late)
            since = time.monotonic()
            self.change(program, Phase.SERVING, detail="")
            self.serving[program.name].set()
            heard = await self.falls_silent(program, ended)
            if heard is None:
                return Run(await ended, time.monotonic() - since)
            self.serving[program.name].clear()
            hung = f"hung, no answer for {time.monotonic() - heard:.0f} s"
            self.change(program, Phase.STOPPING, detail=hung)
            if program.tells_where:
                child.tell_where()
            await child.stop(self.config.stop_seconds)
            return Run(await ended, heard - since, hung)
        finally:
            self.serving[program.name].clear()
            ended.cancel()

    async def falls_silent(self, program: Program, ended: asyncio.Task[int]) -> float | None:
        """Asks whether it lives, until it no longer answers: when it last did. None when it ended."""
        answers = program.answers
        if answers is None or not self.config.liveness_seconds:
            await asyncio.wait({ended})
            return None
        silent = asyncio.create_task(
            silence(
                lambda: answers(program.address, self.config.liveness_timeout),
                self.config.liveness_seconds,
                self.config.liveness_failures,
            )
        )
        try:
            await asyncio.wait({ended, silent}, return_when=asyncio.FIRST_COMPLETED)
            return None if ended.done() else silent.result()
        finally:
            silent.cancel()

    async def start(self, program: Program, log: Path) -> Child:
        """Starts a process; once it runs it is known, even where this is cancelled."""
        starting = asyncio.create_task(Child.start(program, log, self.config.log_bytes))
        try:
            return await asyncio.shield(starting)
        finally:
            self.children[program.name] = await starting

    async def comes_to_serve(self, program: Program, ended: asyncio.Task[int]) -> bool:
        """Asks until it serves; false when it ended or its time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.start_seconds):
                while not ended.done():
                    if await program.serves(program.address):
                        return not ended.done()
                    await asyncio.wait({ended}, timeout=PROBE_SECONDS)
        return False

    async def stop(self) -> None:
        """Stops everything: first those that nobody needs."""
        for keeper in self.keepers.values():
            keeper.cancel()
        await asyncio.gather(*self.keepers.values(), return_exceptions=True)
        left = dict(self.programs)
        while left:
            needed = {need for program in left.values() for need in program.needs}
            outer = [program for program in left.values() if program.name not in needed]
            await asyncio.gather(*(self.stop_one(program) for program in outer))
            for program in outer:
                del left[program.name]

    async def stop_one(self, program: Program) -> None:
        """Stops one program, by force in a hurry."""
        child = self.children.pop(program.name, None)
        if child is not None:
            self.change(program, Phase.STOPPING)
            stopping = asyncio.create_task(child.stop(self.config.stop_seconds))
            hurry = asyncio.create_task(self.hurry.wait())
            await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                child.kill_group()
            hurry.cancel()
            await stopping
        if self.states[program.name].phase is not Phase.FAILED:
            self.change(program, Phase.STOPPED, pid=None, detail="")

    def fail(self, program: Program, status: int, detail: str) -> None:
        """Ends the suite because of `program`."""
        self.status = self.status or status
        self.change(program, Phase.FAILED, pid=None, detail=detail)
        self.finished.set()

    def change(self, program: Program, phase: Phase, **facts: Any) -> None:
        """Notes the state of one program and tells it."""
        self.states[program.name] = replace(self.states[program.name], phase=phase, **facts)
        self.on_change(list(self.states.values()))
