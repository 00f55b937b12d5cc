"""The real suite on free ports: five servers and the gateway as processes, embedded models, a simulated card."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVERS = ("vram", "prompt", "diffusion", "processing", "orchestrator")
START_SECONDS = 150


@dataclass
class Suite:
    """Where the running suite is reached, its processes, and the folder with their logs (`<server>.log`)."""

    folder: Path
    environment: dict[str, str]
    addresses: dict[str, str]
    """By server, without the gateway."""
    gateway: str
    processes: dict[str, subprocess.Popen[bytes]]


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def suite_environment(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The variables of a suite of its own, and its addresses by server (`gateway` included)."""
    ports = free_ports(2 * (len(SERVERS) + 1))
    metrics = {name: f"127.0.0.1:{ports.pop()}" for name in (*SERVERS, "gateway")}
    addresses = {name: f"127.0.0.1:{port}" for name, port in zip((*SERVERS, "gateway"), ports, strict=True)}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("IMAJIN_")}
    environment |= {f"IMAJIN_{name.upper()}_ADDRESS": address for name, address in addresses.items()}
    environment |= {f"IMAJIN_{name.upper()}_METRICS_ADDRESS": address for name, address in metrics.items()}
    environment |= {
        "IMAJIN_ORCHESTRATOR_DATA_DIR": str(folder / "data"),
        "IMAJIN_UP_STATE_DIR": str(folder / "state"),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return environment, addresses


def wait_until_serving(name: str, address: str, process: subprocess.Popen[bytes] | None, log: Path) -> None:
    """Waits for gRPC health, or HTTP health of the gateway; fails with the log when the process ends or time runs out."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        if serving(name, address):
            return
        time.sleep(0.1)
    text = log.read_text(errors="replace")[-3000:] if log.is_file() else ""
    pytest.fail(f"{name} at {address} does not serve:\n{text}")


def serving(name: str, address: str) -> bool:
    """Whether the server answers its health check."""
    if name == "gateway":
        try:
            return httpx.get(f"http://{address}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING


def start(name: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Starts one process of the suite."""
    module = "imajin_gateway" if name == "gateway" else f"imajin_servers.{name}"
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=out, stderr=out, cwd=log.parent)


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite, started once for all flow tests."""
    folder = tmp_path_factory.mktemp("suite")
    environment, addresses = suite_environment(folder)
    processes = {name: start(name, environment, folder / f"{name}.log") for name in addresses}
    try:
        for name, address in addresses.items():
            wait_until_serving(name, address, processes[name], folder / f"{name}.log")
        servers = {name: address for name, address in addresses.items() if name != "gateway"}
        yield Suite(folder, environment, servers, f"http://{addresses['gateway']}", processes)
        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        for name, process in processes.items():
            assert process.wait(60) == 0, f"{name} did not stop cleanly"
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def http(suite: Suite) -> Iterator[httpx.Client]:
    """A client of the REST shim."""
    with httpx.Client(base_url=suite.gateway, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def flow() -> SimpleNamespace:
    """What tests need that start a suite of their own."""
    return SimpleNamespace(suite_environment=suite_environment, wait_until_serving=wait_until_serving)
