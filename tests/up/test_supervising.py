"""The supervisor with small programs: order, restarts, what can't be restarted, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from imajin_client.up import Phase, UpSettings, supervise
from imajin_client.up.backoff import Backoff


async def test_programs_start_in_order_of_need_and_stop_in_reverse(small: Any, start: Any) -> None:
    up = start(small.listener("front", needs=["back"]), small.listener("back", needs=["base"]), small.listener("base"))
    states = await up.all_serve()
    assert [name for name, phase in up.history if phase is Phase.SERVING] == ["base", "back", "front"]
    pids = [state.pid for state in states.values()]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await up.status() == 0
    assert [name for name, phase in up.history if phase is Phase.STOPPED] == ["front", "back", "base"]
    assert all(small.gone(pid) for pid in pids)


async def test_a_killed_program_starts_again(small: Any, start: Any) -> None:
    up = start(small.listener("steady"), small.listener("fragile"))
    first = (await up.all_serve())["fragile"].pid
    os.kill(first, signal.SIGKILL)
    await up.until(lambda states: states["fragile"].restarts == 1)
    states = await up.all_serve()
    assert states["fragile"].pid != first
    assert states["steady"].restarts == 0
    phases = [phase for name, phase in up.history if name == "fragile"]
    assert phases[1:] == [Phase.STARTING, Phase.SERVING, Phase.CRASHED, Phase.RESTARTING, Phase.SERVING]


async def test_a_crash_says_how_it_ended_and_what_it_wrote(small: Any, start: Any) -> None:
    up = start(small.short("broken", "ModuleNotFoundError: no torch", 1), backoff_seconds=20)
    state = (await up.until(lambda states: states["broken"].phase is Phase.CRASHED))["broken"]
    assert state.detail == "exit status 1; again in 20 s: ModuleNotFoundError: no torch"
    assert state.log.read_text() == "some line\nModuleNotFoundError: no torch\n"


async def test_a_program_that_never_serves_is_given_up(small: Any, start: Any) -> None:
    up = start(small.listener("well"), small.short("broken", "no use", 7), attempts=3)
    assert await up.status() == 1
    assert up.states["broken"].phase is Phase.FAILED
    assert up.states["broken"].detail == "exit status 7 3 times: no use"
    assert up.states["well"].phase is Phase.STOPPED


@pytest.mark.parametrize("status", [2, 3])
async def test_what_no_restart_can_help_stops_the_suite(small: Any, start: Any, status: int) -> None:
    up = start(small.listener("well"), small.short("wrong", "imajin wrong: bad settings", status, needs=["well"]))
    assert await up.status() == status
    assert up.states["wrong"].detail == "imajin wrong: bad settings"
    assert up.states["wrong"].restarts == 0
    assert up.states["well"].phase is Phase.STOPPED


async def test_a_taken_port_is_found_before_the_start(small: Any, start: Any) -> None:
    program = small.listener("late")
    host, port = program.address.split(":")
    with socket.create_server((host, int(port))):
        up = start(program)
        assert await up.status() == 3
    assert up.states["late"].detail == f"{program.address} is taken by another process"
    assert [phase for _, phase in up.history] == [Phase.WAITING, Phase.FAILED]


async def test_a_program_that_does_not_come_up_in_time_is_killed(small: Any, start: Any) -> None:
    mute = small.listener("mute")
    elsewhere = small.free_address()
    program = type(mute)(mute.name, [*mute.command[:3], elsewhere], mute.address, mute.serves)
    up = start(program, start_seconds=0.5, attempts=2)
    assert await up.status() == 1
    assert up.states["mute"].detail.startswith("did not serve within 0.5 s; killed by SIGKILL 2 times")


async def test_a_cancelled_supervisor_stops_everything_first(small: Any, start: Any) -> None:
    up = start(small.listener("one"), small.listener("two", needs=["one"]))
    pids = [state.pid for state in (await up.all_serve()).values()]
    up.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await up.task
    assert all(small.gone(pid, seconds=0) for pid in pids)


async def test_a_start_that_is_interrupted_leaves_nothing(small: Any, start: Any) -> None:
    before = psutil.Process().children()
    for turns in range(0, 60, 3):
        up = start(small.listener("one"))
        for _ in range(turns):
            await asyncio.sleep(0)
        up.task.cancel()
        await asyncio.gather(up.task, return_exceptions=True)
        assert psutil.Process().children() == before


async def test_a_second_signal_kills_what_does_not_stop(small: Any, start: Any) -> None:
    up = start(small.listener("deaf", "deaf"), stop_seconds=600)
    pid = (await up.all_serve())["deaf"].pid
    os.kill(os.getpid(), signal.SIGINT)
    await up.until(lambda states: states["deaf"].phase is Phase.STOPPING)
    os.kill(os.getpid(), signal.SIGINT)
    assert await up.status() == 0
    assert small.gone(pid, seconds=0)


async def test_a_program_that_does_not_stop_is_killed_with_all_that_it_started(small: Any, start: Any) -> None:
    up = start(small.listener("deaf", "deaf", "parent"), stop_seconds=0.2)
    state = (await up.all_serve())["deaf"]
    grandchild = int(state.log.read_text().split()[1])
    os.kill(os.getpid(), signal.SIGTERM)
    assert await up.status() == 0
    assert small.gone(state.pid)
    assert small.gone(grandchild)


async def test_what_a_crashed_program_started_dies_with_it(small: Any, start: Any) -> None:
    up = start(small.listener("parent", "parent"))
    state = (await up.all_serve())["parent"]
    grandchild = int(state.log.read_text().split()[1])
    os.kill(state.pid, signal.SIGKILL)
    await up.until(lambda states: states["parent"].phase is Phase.CRASHED)
    assert small.gone(grandchild)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
async def test_no_process_is_left_when_the_supervisor_goes(small: Any, outside: Any, number: int) -> None:
    up = await outside.start(small.listener("one"), small.listener("deaf", "deaf", needs=["one"]), stop_seconds=0.2)
    await up.until(Phase.SERVING)
    up.send(number)
    await up.process.communicate()
    assert up.process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert len(up.pids) == 2
    assert all(small.gone(pid) for pid in up.pids.values())


async def test_a_supervisor_can_go_with_the_process_that_started_it(small: Any, outside: Any) -> None:
    up = await outside.start_by_another(small.listener("one"))
    await up.until(Phase.SERVING)
    up.send(signal.SIGKILL)
    assert small.gone(up.pids["one"])
    # The supervisor stops in order: it holds the other end of this pipe until its own end.
    await up.process.communicate()


async def test_a_folder_that_can_not_be_written_is_an_error(small: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        await supervise(UpSettings(state_dir=tmp_path / "file"), lambda _: None, [small.listener("one")])


async def test_a_log_that_was_taken_away_ends_nothing(small: Any, start: Any) -> None:
    up = start(small.listener("fragile"))
    state = (await up.all_serve())["fragile"]
    state.log.unlink()
    os.kill(state.pid, signal.SIGKILL)
    await up.until(lambda states: states["fragile"].restarts == 1)
    await up.all_serve()
    assert state.log.read_text() == "listening\n"


async def test_a_long_log_is_put_aside(small: Any, start: Any, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "one.log"
    log.parent.mkdir()
    log.write_text("x" * 3000)
    up = start(small.listener("one"), log_bytes=2000)
    await up.all_serve()
    assert log.with_name("one.log.1").read_text() == "x" * 3000
    assert log.read_text() == "listening\n"


def test_pauses_double_to_a_limit_and_start_over_after_health() -> None:
    backoff = Backoff(first=0.5, limit=4, settle=60)
    assert [backoff.after(0) for _ in range(5)] == [0.5, 1, 2, 4, 4]
    assert backoff.after(59) == 4
    assert backoff.after(60) == 0.5
