"""The files of the corpus, and servers in processes of their own whose memory is watched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from imajin_servers.runtime import status

MOST_MEMORY = 64 * 1024 * 1024
"""Bytes that one file may take above what the server takes when it rests."""


@dataclass(frozen=True)
class Hostile:
    """A file of the corpus, and what is expected of it."""

    name: str
    family: str
    data: bytes
    expect: str
    reason: str


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    subprocess.run([sys.executable, Path(__file__).with_name("corpus.py"), folder], check=True)
    entries = json.loads((folder / "manifest.json").read_text())
    return [
        Hostile(item["file"], item["family"], (folder / item["file"]).read_bytes(), item["expect"], item["reason"])
        for item in entries
    ]


class Served:
    """A server in a process of its own."""

    def __init__(self, name: str, folder: Path, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("IMAJIN_")}
        prefix = f"IMAJIN_{name.upper()}_"
        environment |= {prefix + key: value for key, value in {"ADDRESS": address, **settings}.items()}
        environment |= {
            "IMAJIN_CREDENTIALS_DIRECTORY": str(folder),
            # What is used is measured, not what an allocator with many arenas keeps of what was freed.
            "MALLOC_ARENA_MAX": "1",
        }
        self.name = name
        with (folder / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", f"imajin_servers.{name}"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.channel = grpc.insecure_channel(address)
        grpc.channel_ready_future(self.channel).result(60)

    def outcome(self, call: Any) -> str:
        """What the server makes of a file: `taken`, or the reason of its error."""
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            reported: Any = error
            return status.from_call(reported).reason
        finally:
            call.cancel()
        return "taken"

    def watch(
        self, files: Iterable[Hostile], send: Callable[[bytes], Any], allowed: Callable[[Hostile], set[str]]
    ) -> None:
        """Sends each of `files`: the outcome must be one that is `allowed`, and take little memory."""
        wrong, peaks = {}, {}
        for file in files:
            self.forget_peak()
            idle = self.memory("VmRSS")
            outcome = self.outcome(send(file.data))
            peaks[file.name] = self.memory("VmHWM") - idle
            if outcome not in allowed(file):
                wrong[file.name] = outcome
            assert self.process.poll() is None
        if "IMAJIN_HOSTILE_PEAKS" in os.environ:
            Path(os.environ["IMAJIN_HOSTILE_PEAKS"], f"{self.name}.json").write_text(json.dumps(peaks, indent=1))
        assert not wrong
        assert {name: peak for name, peak in peaks.items() if peak > MOST_MEMORY} == {}

    def memory(self, which: str) -> int:
        """`VmRSS` or `VmHWM` of the server, in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(which + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(which)

    def forget_peak(self) -> None:
        """Makes `VmHWM` what is used now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def close(self) -> None:
        """Ends the server, which must still be there."""
        self.channel.close()
        self.process.terminate()
        assert self.process.wait(30) == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a server by its name with settings as its variables have them; skips where peaks can't be told apart."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("peaks are told apart by Linux alone")
    running: list[Served] = []

    def start(name: str, **settings: str) -> Served:
        running.append(Served(name, tmp_path, **settings))
        return running[-1]

    yield start
    for server in running:
        server.close()
