"""`imajin up` with the real vram server, from outside."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO, Any

import grpc
import pytest

from imajin.vram.v1 import vram_lease_pb2 as pb
from imajin.vram.v1 import vram_lease_pb2_grpc


class Command:
    """The command, and what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, pattern: str) -> re.Match[str]:
        """Reads on until a line matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"the command ended without {pattern!r}: {self.lines}")


@pytest.fixture
async def command(tmp_path: Path, small: Any) -> AsyncIterator[Callable[..., Any]]:
    """Runs `imajin up` with arguments, in a folder of its own."""
    running: list[Command] = []

    async def run(*arguments: str, stdout: int | IO[bytes] = asyncio.subprocess.PIPE, **variables: str) -> Command:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("IMAJIN_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imajin_client", "up", *arguments),
            env={**inherited, "IMAJIN_VRAM_CARDS": "simulated", **variables},
            cwd=tmp_path,
            stdout=stdout,
            stderr=asyncio.subprocess.STDOUT,
        )
        running.append(Command(process))
        return running[-1]

    yield run
    for started in running:
        if started.process.returncode is None:
            started.process.kill()
        await started.process.communicate()


async def cards(address: str) -> list[pb.Device]:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(channel)
        return list((await stub.ListDevices(pb.ListDevicesRequest())).devices)


async def test_a_real_server_serves_keeps_its_address_survives_a_kill_and_stops(
    command: Any, small: Any, tmp_path: Path
) -> None:
    address = small.free_address()
    up = await command("--only", "vram", IMAJIN_VRAM_ADDRESS=address, IMAJIN_VRAM_SIMULATED_BYTES="3GiB")
    await up.until(rf"imajin serves \(gRPC: vram {address}\)")
    pid = next(int(found[1]) for line in up.lines if (found := re.search(r"vram serving .* \(pid (\d+)\)", line)))
    assert [card.total_bytes for card in await cards(address)] == [3 * 1024**3]
    second = await command("--only", "vram", "--state-dir", "other", IMAJIN_VRAM_ADDRESS=address)
    await second.until(rf"vram failed at {address}: {address} is taken by another process")
    assert await second.process.wait() == 3
    same_folder = await command("--only", "vram", IMAJIN_VRAM_ADDRESS=small.free_address())
    await same_folder.until("another `imajin up` runs vram in .imajin; set IMAJIN_UP_STATE_DIR")
    assert await same_folder.process.wait() == 1
    os.kill(pid, signal.SIGKILL)
    await up.until(r"vram crashed at .*: killed by SIGKILL; again in 0.5 s$")
    await up.until(r"vram serving")
    assert len(await cards(address)) == 1
    up.process.send_signal(signal.SIGINT)
    await up.until("vram stopped")
    assert await up.process.wait() == 0
    assert '"event": "stopped"' in (tmp_path / ".imajin/logs/vram.log").read_text()


async def test_a_real_server_that_hangs_is_ended_and_serves_again(command: Any, small: Any) -> None:
    address = small.free_address()
    soon = {"SECONDS": "0.2", "TIMEOUT": "3", "FAILURES": "2"}
    up = await command(
        *("--only", "vram"),
        IMAJIN_VRAM_ADDRESS=address,
        IMAJIN_UP_STOP_SECONDS="0.2",
        **{f"IMAJIN_UP_LIVENESS_{name}": value for name, value in soon.items()},
    )
    serves = r"vram serving .* \(pid (\d+)\)"
    pid = int((await up.until(serves))[1])
    os.kill(pid, signal.SIGSTOP)
    await up.until(r"vram stopping at .* \(pid \d+\): hung, no answer for \d+ s$")
    await up.until(r"vram crashed at .*: hung, no answer for \d+ s; killed by SIGKILL; again in 0.5 s$")
    assert int((await up.until(serves))[1]) != pid
    assert len(await cards(address)) == 1
    up.process.send_signal(signal.SIGINT)
    assert await up.process.wait() == 0


async def test_the_servers_own_word_on_bad_settings_is_shown(command: Any, small: Any) -> None:
    up = await command("--only", "vram", IMAJIN_VRAM_ADDRESS=small.free_address(), IMAJIN_VRAM_TTL_SECONDS="0")
    await up.until(
        "vram failed at .*: imajin vram: bad settings: .* ttl_seconds Input should be greater than or equal to 1"
    )
    assert await up.process.wait() == 2


async def test_settings_come_from_the_file_and_logs_to_the_screen(command: Any, small: Any, tmp_path: Path) -> None:
    address = small.free_address()
    (tmp_path / "imajin.toml").write_text(
        f'[up]\nonly = ["vram"]\nverbose = true\nstate_dir = "state"\n[addresses]\nvram = "{address}"\n'
        '[vram]\nsimulated_bytes = "1GiB"\n'
    )
    up = await command()
    await up.until(r'^vram \| .*"event": "serving"')
    assert [card.total_bytes for card in await cards(address)] == [1024**3]
    assert (tmp_path / "state" / "logs" / "vram.log").is_file()
    up.process.send_signal(signal.SIGTERM)
    assert await up.process.wait() == 0


async def test_an_unknown_server_is_named(command: Any) -> None:
    up = await command("--only", "vrams")
    await up.until("bad settings: no server vrams; there are: vram, ")
    assert await up.process.wait() == 2


async def test_a_folder_that_can_not_be_written_is_said(command: Any, small: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    up = await command("--only", "vram", "--state-dir", "file/state", IMAJIN_VRAM_ADDRESS=small.free_address())
    await up.until("imajin up: .*Not a directory")
    assert await up.process.wait() == 1


@pytest.fixture
def full_disk() -> Iterator[IO[bytes]]:
    with Path("/dev/full").open("wb", buffering=0) as opened:
        yield opened


async def test_a_full_disk_under_its_output_stops_nothing(
    command: Any, small: Any, full_disk: IO[bytes], tmp_path: Path
) -> None:
    address = small.free_address()
    up = await command("--only", "vram", stdout=full_disk, IMAJIN_VRAM_ADDRESS=address)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = vram_lease_pb2_grpc.VramLeaseServiceStub(channel)
        assert (await stub.ListDevices(pb.ListDevicesRequest(), wait_for_ready=True, timeout=60)).devices
    up.process.send_signal(signal.SIGINT)
    await up.process.wait()
    assert '"event": "stopped"' in (tmp_path / ".imajin/logs/vram.log").read_text()


@pytest.mark.parametrize("taken", ["", "logs", "logs/vram.lock"])
async def test_a_state_folder_that_can_not_be_used_is_named(command: Any, tmp_path: Path, taken: str) -> None:
    state = tmp_path / "state"
    if taken == "logs/vram.lock":
        (state / taken).mkdir(parents=True)
    else:
        (state / taken).parent.mkdir(exist_ok=True)
        (state / taken).write_text("")
    up = await command("--only", "vram", IMAJIN_UP_STATE_DIR=str(state))
    out, _ = await up.process.communicate()
    assert up.process.returncode == 1
    [line] = out.decode().splitlines()
    assert line.startswith("imajin up: ")
    assert str(state / taken) in line
    assert "set IMAJIN_UP_STATE_DIR" in line
