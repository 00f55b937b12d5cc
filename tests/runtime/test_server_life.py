"""Start and end of a server process, seen from outside: exit statuses, health, reflection, drain."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import grpc
import pytest
from google.protobuf import message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError

from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.runtime.settings import Addresses, ServerSettings

# A server whose ListModels tells that it was called, then answers only once the server drains.
PROGRAM = """
import sys
from contextlib import asynccontextmanager
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin_servers.runtime.server import Service, run
from imajin_servers.runtime.settings import ServerSettings

class Slow(diffusion_pb2_grpc.DiffusionServiceServicer):
    def __init__(self, lifetime):
        self.lifetime = lifetime
    async def ListModels(self, request, context):
        print("called", flush=True)
        await self.lifetime.draining.wait()
        return diffusion_pb2.ListModelsResponse(models=[diffusion_pb2.Model(name="finished")])

@asynccontextmanager
async def build(settings, lifetime):
    if "full" in sys.argv:
        raise OSError(28, "No space left on device", "/data")
    add = diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server
    yield [Service("imajin.diffusion.v1.DiffusionService", add, Slow(lifetime))]
    print("closed", flush=True)

run("diffusion", ServerSettings, build)
"""


def environment(address: str, **more: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("IMAJIN_")}
    return clean | {"IMAJIN_DIFFUSION_ADDRESS": address} | more


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return f"127.0.0.1:{opened.getsockname()[1]}"


@contextmanager
def server(
    address: str, stderr: int | IO[str] = subprocess.DEVNULL, program: str = PROGRAM
) -> Iterator[tuple[subprocess.Popen[str], grpc.Channel]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(address),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        with grpc.insecure_channel(address) as channel:
            check(channel, "", wait=True)
            yield process, channel
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def check(channel: grpc.Channel, service: str, wait: bool = False) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return int(health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=wait, timeout=30).status)


def test_a_taken_port_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment(address), capture_output=True, text=True
        )
    assert ended.returncode == 3
    assert f"{address} is taken" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_bad_settings_are_said_clearly(tmp_path: Path) -> None:
    nowhere = environment("127.0.0.1:1", IMAJIN_CONFIG=str(tmp_path / "nowhere.toml"))
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=nowhere, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "nowhere.toml" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_settings_file_that_can_not_be_read_is_said_clearly() -> None:
    # A file for whoever looks, but its first page is never there.
    unreadable = environment("127.0.0.1:1", IMAJIN_CONFIG="/proc/self/mem")
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=unreadable, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "imajin diffusion: bad settings: [Errno 5]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_disk_that_is_full_at_the_start_is_said_clearly() -> None:
    command = [sys.executable, "-c", PROGRAM, "full"]
    ended = subprocess.run(command, env=environment(free_address()), capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.endswith("imajin diffusion: can't start: [Errno 28] No space left on device: '/data'\n")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "wrong", ["127.0.0.1", "127.0.0.1:", ":50051", "127.0.0.1:70000", "127.0.0.1:-1", "host:٣", ""]
)
def test_an_address_has_a_host_and_a_port(wrong: str) -> None:
    with pytest.raises(ValidationError, match="must be host:port, such as"):
        Addresses(vram=wrong)
    assert ServerSettings(listen="").listen == ""
    if wrong:
        with pytest.raises(ValidationError, match="must be host:port, such as"):
            ServerSettings(listen=wrong)


@pytest.mark.parametrize(
    "right", ["127.0.0.1:0", "[::1]:50051", "vram.example:1", "dns:///vram:65535", "unix:/run/vram"]
)
def test_an_address_that_grpc_knows_is_taken(right: str) -> None:
    assert Addresses(vram=right).vram == right
    assert ServerSettings(listen=right).listen == right


def test_a_variable_that_is_empty_names_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAJIN_VRAM_ADDRESS", "")
    assert Addresses().vram == "127.0.0.1:50054"


def test_a_log_level_is_one_of_four() -> None:
    assert ServerSettings(log_level="WARNING").log_level == "warning"  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="log_level"):
        ServerSettings(log_level="loud")  # type: ignore[arg-type]


def test_the_file_and_the_variables_fill_the_settings(tmp_path: Path) -> None:
    address = free_address()
    (tmp_path / "imajin.toml").write_text(f'[addresses]\ndiffusion = "{address}"\nvram = "vram.example:1"\n')
    program = (
        "from imajin_servers.runtime.settings import Addresses as A; a = A(); print(a.diffusion, a.vram, a.prompt)"
    )
    clean = environment("127.0.0.1:2")
    ended = subprocess.run([sys.executable, "-c", program], env=clean, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout.split() == ["127.0.0.1:2", "vram.example:1", "127.0.0.1:50051"]


def test_health_and_reflection_name_the_service() -> None:
    with server(free_address()) as (_, channel):
        assert check(channel, "imajin.diffusion.v1.DiffusionService") == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]))
        names = {service.name for service in next(iter(answers)).list_services_response.service}
        assert names >= {"imajin.diffusion.v1.DiffusionService", "grpc.health.v1.Health"}


def test_a_signal_lets_running_calls_finish() -> None:
    with server(free_address()) as (process, channel):
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        running = stub.ListModels.future(diffusion_pb2.ListModelsRequest())
        assert process.stdout is not None
        assert process.stdout.readline() == "called\n"
        process.send_signal(signal.SIGTERM)
        answer: message.Message = running.result(30)
        assert answer == diffusion_pb2.ListModelsResponse(models=[diffusion_pb2.Model(name="finished")])
        assert process.wait(30) == 0
        assert process.stdout.read() == "closed\n"


def test_a_log_that_can_not_be_written_fails_no_call() -> None:
    with Path("/dev/full").open("w") as full, server(free_address(), full) as (_, channel):
        stub = diffusion_pb2_grpc.DiffusionServiceStub(channel)
        # Some lines fit into a buffer.
        for _ in range(60):
            with pytest.raises(grpc.RpcError) as failed:
                next(iter(stub.Generate(diffusion_pb2.GenerateRequest())))
            assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_signal_has_it_write_where_its_threads_are(tmp_path: Path) -> None:
    address, log = free_address(), tmp_path / "log"
    with log.open("w") as written, server(address, written) as (process, channel):
        process.send_signal(signal.SIGUSR1)
        # It serves on; whoever answers has been past the signal.
        assert check(channel, "") == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    said = log.read_text()
    assert "Current thread" in said
    assert f'"port": {address.rpartition(":")[2]}' in said


def test_the_garbage_collector_sees_little_of_what_start_up_has_made() -> None:
    counting = "import gc; print(10 * len(gc.get_objects()) < gc.get_freeze_count(), flush=True)"
    program = PROGRAM.replace('print("called", flush=True)', counting)
    with server(free_address(), program=program) as (process, channel):
        call = diffusion_pb2_grpc.DiffusionServiceStub(channel).ListModels.future(
            diffusion_pb2.ListModelsRequest(), timeout=30
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        call.cancel()
