"""The command as a process: signals, pipes, exit statuses, and commands under a lease."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imajin.job.v1 import job_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin.vram.v1 import vram_lease_pb2

from .answers import denoising, granted
from .doubles import Doubles, eventually, hold_open

WAIT = 20


@pytest.fixture
def start(doubles: Doubles, tmp_path: Path) -> Iterator[Any]:
    """Starts `imajin` in an empty folder; what is left of it is killed at the end."""
    environment = {**os.environ, **{f"IMAJIN_{name.upper()}_ADDRESS": at for name, at in doubles.addresses.items()}}
    children: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        child = subprocess.Popen(
            [sys.executable, "-m", "imajin_client", *arguments], cwd=tmp_path, **{"env": environment, **options}
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.fixture
def endless(doubles: Doubles) -> Any:
    def generate(request: Any, context: Any) -> Iterator[Any]:
        yield orchestrator_pb2.GenerateResponse(progress=denoising(1, 9))
        hold_open(context)

    def watch(request: Any, context: Any) -> Iterator[Any]:
        yield job_pb2.WatchJobResponse(sequence=1, progress=denoising(1, 9))
        hold_open(context)

    doubles.answers.update(Generate=generate, WatchJob=watch)
    return doubles


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_call(number: int, status: int, endless: Any, start: Any) -> None:
    child = start("generate", "a panda", "--events")
    assert json.loads(child.stdout.readline())["phase"] == "denoising"
    child.send_signal(number)
    out, err = child.communicate(timeout=WAIT)
    assert child.returncode == status
    assert endless.dropped["Generate"].wait(WAIT)
    assert b"Traceback" not in err
    assert out == b""


def test_ctrl_c_cancels_the_job_of_sizes_but_not_the_one_that_is_watched(endless: Any, start: Any) -> None:
    child = start("jobs", "watch", "job-1", "--json")
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=WAIT)
    assert child.returncode == 130
    assert endless.asked["CancelJob"] == []

    child = start("sizes", "a panda", "-s", "hero", "--events")
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=WAIT)
    assert child.returncode == 130
    assert [request.job_id for request in endless.asked["CancelJob"]] == ["job-1"]


def test_a_reader_that_leaves_is_no_error(endless: Any, doubles: Doubles, start: Any) -> None:
    def many(request: Any, context: Any) -> Iterator[Any]:
        for number in range(1, 100_000):
            if not context.is_active():
                return
            yield job_pb2.WatchJobResponse(sequence=number, progress=denoising(1, 9))

    doubles.answers["WatchJob"] = many
    child = start("jobs", "watch", "job-1", "--json")
    child.stdout.readline()
    child.stdout.close()
    child.stdout = None
    _, err = child.communicate(timeout=WAIT)
    assert (child.returncode, err) == (0, b"")


SHOW = "import os; print(*(os.environ.get(n) for n in ('IMAJIN_LEASE_ID', 'IMAJIN_FENCING_TOKEN', 'IMAJIN_DEVICE_ID')))"


def test_a_command_runs_under_a_lease_and_its_status_is_passed_on(doubles: Doubles, start: Any) -> None:
    child = start("vram", "run", "--gib", "2", "--", sys.executable, "-c", f"{SHOW}; raise SystemExit(7)")
    out, _ = child.communicate(timeout=WAIT)
    assert (child.returncode, out.split()) == (7, [b"lease-9", b"42", b"simulated-0"])


def test_a_command_without_a_lease_does_not_run(doubles: Doubles, start: Any, tmp_path: Path) -> None:
    doubles.fail("HoldLease", "RESOURCE_EXHAUSTED", "GPU_OOM")
    child = start("vram", "run", "--gib", "80", "--", "touch", "ran")
    _, err = child.communicate(timeout=WAIT)
    assert child.returncode == 1
    assert b"GPU_OOM" in err
    assert not (tmp_path / "ran").exists()


def test_a_command_that_is_none_is_exit_2(doubles: Doubles, start: Any) -> None:
    child = start("vram", "run", "--gib", "2", "--", "no-such-command-here")
    _, err = child.communicate(timeout=WAIT)
    assert child.returncode == 2
    assert b"no-such-command-here" in err


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("asked to go", flush=True), sys.exit(0)))
print("running", flush=True)
time.sleep(60)
"""


def test_a_lease_that_is_asked_back_ends_the_command(doubles: Doubles, start: Any, tmp_path: Path) -> None:
    pb = vram_lease_pb2
    told: list[str] = []
    marker = tmp_path / "running"

    def hold(requests: Any, context: Any) -> Iterator[Any]:
        for request in requests:
            told.append(request.WhichOneof("message"))
            match told[-1]:
                case "acquire":
                    yield granted(1)
                case "heartbeat" if marker.exists() and told.count("revoke") == 0:
                    told.append("revoke")
                    revoke = pb.Revoke(reason=pb.REVOKE_REASON_PREEMPTED)
                    revoke.grace.FromSeconds(30)
                    yield pb.HoldLeaseResponse(revoke=revoke)
                case "heartbeat":
                    yield pb.HoldLeaseResponse(heartbeat_ack=pb.HeartbeatAck())
                case "release":
                    yield pb.HoldLeaseResponse(released=pb.Released(reason=1))
                    return

    doubles.answers["HoldLease"] = hold
    code = STUBBORN.replace("time.sleep", f"open({str(marker)!r}, 'w').close(); time.sleep")
    child = start("vram", "run", "--gib", "1", "--preemptible", "--", sys.executable, "-c", code)
    out, err = child.communicate(timeout=WAIT)
    assert child.returncode == 1
    assert out.split(b"\n")[:2] == [b"running", b"asked to go"]
    assert b"LEASE_LOST" in err
    assert told[-1] == "release"


def test_ctrl_c_ends_the_command_and_gives_the_lease_back(doubles: Doubles, start: Any) -> None:
    child = start("vram", "run", "--gib", "1", "--", sys.executable, "-c", STUBBORN)
    assert child.stdout.readline() == b"running\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=WAIT)
    assert (child.returncode, out) == (130, b"asked to go\n")
    assert doubles.dropped["HoldLease"].wait(WAIT)


@pytest.fixture
def places() -> dict[str, str]:
    """Addresses of a suite that a test may start, by variable."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(6)]
        names = ("PROMPT", "DIFFUSION", "PROCESSING", "VRAM", "ORCHESTRATOR", "GATEWAY")
        ports = [probe.getsockname()[1] for probe in probes]
    return {f"IMAJIN_{name}_ADDRESS": f"127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}


def test_a_demo_avoids_taken_ports_and_says_where_the_log_of_a_fallen_suite_is(
    places: dict[str, str], start: Any, tmp_path: Path
) -> None:
    host, _, port = places["IMAJIN_DIFFUSION_ADDRESS"].partition(":")
    with socket.create_server((host, int(port))):
        child = start("demo", "--json", env={**os.environ, **places, "IMAJIN_UP_ONLY": "nonsense"})
        out, err = child.communicate(timeout=WAIT)
    assert (child.returncode, out) == (3, b"")
    note, error = err.decode().splitlines()
    assert note.startswith("ports are taken; started elsewhere: diffusion at 127.0.0.1:")
    assert "the suite ended by itself; out/.suite/suite.log" in json.loads(error)["error"]
    assert "nonsense" in (tmp_path / "out/.suite/suite.log").read_text()


def test_ctrl_c_in_a_demo_ends_the_suite_that_it_started(places: dict[str, str], start: Any, tmp_path: Path) -> None:
    child = start("demo", env={**os.environ, **places, "IMAJIN_UP_ONLY": "vram"})
    host, _, port = places["IMAJIN_VRAM_ADDRESS"].partition(":")
    assert eventually(lambda: listens(host, int(port)), WAIT)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=WAIT)
    assert child.returncode == 130
    assert not listens(host, int(port))


def listens(host: str, port: int) -> bool:
    """Whether anybody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_module_and_command_are_the_same(start: Any) -> None:
    child = start("--help")
    out, _ = child.communicate(timeout=WAIT)
    assert child.returncode == 0
    for name in ("up", "demo", "describe", "generate", "sizes", "process", "jobs", "models", "vram", "doctor"):
        assert f" {name} ".encode() in out
