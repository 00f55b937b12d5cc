"""Every file of the corpus against the domain, then against a real server in a process of its own, whose memory is watched."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.processing import decode as decoding
from imajin_servers.processing.decode import decode, inspect
from imajin_servers.processing.settings import Limits
from imajin_servers.runtime import status
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

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


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    subprocess.run([sys.executable, Path(__file__).with_name("corpus.py"), folder], check=True)
    entries = json.loads((folder / "manifest.json").read_text())
    return [
        Hostile(item["file"], item["family"], (folder / item["file"]).read_bytes(), item["expect"], item["reason"])
        for item in entries
    ]


def test_each_is_what_the_corpus_says(corpus: list[Hostile], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = decoding.Image.open
    monkeypatch.setattr(
        decoding.Image, "open", lambda *args, **more: (opened.append("decoder"), real(*args, **more))[1]
    )
    wrong = {}
    for file in corpus:
        opened.clear()
        outcome = "taken"
        try:
            decode(inspect(file.data, Limits()))
        except (ImageInvalid, ImageTooLarge) as error:
            outcome = error.reason
        expected = {
            "refused": outcome == file.reason and not opened,
            "typed": outcome in ("taken", ImageInvalid.reason),
            "taken": outcome == "taken",
        }
        if not expected[file.expect]:
            wrong[file.name] = (outcome, opened)
    assert not wrong


def test_the_corpus_has_every_kind(corpus: list[Hostile]) -> None:
    names = {file.name for file in corpus}
    for format in ("png", "gif", "webp", "avif", "jpeg", "tiff"):
        assert any(name.startswith(f"bomb-{format}") for name in names)
    for format in ("png", "gif", "webp", "avif", "jpeg"):
        assert sum(name.startswith(f"truncated-{format}-") for name in names) == 100
        for family in ("giant", "length", "checksum", "polyglot", "metadata"):
            assert any(name.startswith(f"{family}-{format}") for name in names), (family, format)
        # JPEG has no frames.
        assert format == "jpeg" or any(name.startswith(f"frames-{format}") for name in names)
    assert any("svg" in name for name in names)


class Server:
    """A processing server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("IMAJIN_")}
        environment |= {
            "IMAJIN_PROCESSING_ADDRESS": address,
            "IMAJIN_PROCESSING_WORKERS": "1",
            "IMAJIN_PROCESSING_FOCAL__FACES": "false",
            "IMAJIN_CREDENTIALS_DIRECTORY": str(folder),
            # What is used is measured, not what an allocator with many arenas keeps of what was freed.
            "MALLOC_ARENA_MAX": "1",
        }
        with (folder / "processing.log").open("wb") as log:
            command = [sys.executable, "-m", "imajin_servers.processing"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.channel = grpc.insecure_channel(address)
        grpc.channel_ready_future(self.channel).result(60)
        self.stub = pb_grpc.ProcessingServiceStub(self.channel)

    def send(self, data: bytes) -> str:
        """What the server makes of a file: `taken`, or the reason of its error."""

        def requests() -> Iterator[pb.ProcessRequest]:
            yield pb.ProcessRequest(spec=pb.ProcessSpec(operations=[pb.OPERATION_SANITIZE]))
            pieces = range(0, max(1, len(data)), 512 * 1024)
            for at in pieces:
                info = image_pb2.ImageInfo(size_bytes=len(data)) if at == 0 else None
                piece = data[at : at + 512 * 1024]
                chunk = image_pb2.ImageChunk(offset=at, data=piece, info=info, last=at == pieces[-1])
                yield pb.ProcessRequest(chunk=chunk)

        call = self.stub.Process(requests(), timeout=60)
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            reported: Any = error
            return status.from_call(reported).reason
        finally:
            call.cancel()
        return "taken"

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


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks are told apart by Linux alone")
def test_a_server_answers_each_with_an_error_or_a_picture_and_little_memory(
    corpus: list[Hostile], tmp_path: Path
) -> None:
    server = Server(tmp_path)
    try:
        for file in corpus:
            if file.family == "sound":
                assert server.send(file.data) == "taken"
        wrong, peaks = {}, {}
        for file in corpus:
            # Of the files that were cut short, each tenth: they are all small, and the domain saw them all.
            if file.family == "truncated" and not file.name.endswith("0-percent"):
                continue
            server.forget_peak()
            idle = server.memory("VmRSS")
            outcome = server.send(file.data)
            peaks[file.name] = server.memory("VmHWM") - idle
            if outcome not in ({file.reason} if file.reason else {"taken", ImageInvalid.reason}):
                wrong[file.name] = outcome
            assert server.process.poll() is None
    finally:
        server.close()
    if "IMAJIN_HOSTILE_PEAKS" in os.environ:
        Path(os.environ["IMAJIN_HOSTILE_PEAKS"]).write_text(json.dumps(peaks, indent=1))
    assert not wrong
    assert {name: peak for name, peak in peaks.items() if peak > MOST_MEMORY} == {}
