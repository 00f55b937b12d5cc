"""Who leaves when: clients in the middle of a call, and the gateway itself as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from imajin_gateway.__main__ import bind
from imajin_gateway.calls import Channels
from imajin_gateway.health import Health
from imajin_gateway.settings import GatewaySettings

from .conftest import SERVERS, Start
from .doubles import Doubles

REQUESTS: dict[str, dict[str, Any]] = {
    "json": {"method": "POST", "url": "/generate", "json": {"prompt": "p"}},
    "image": {"method": "POST", "url": "/generate", "json": {"prompt": "p"}, "headers": {"accept": "image/*"}},
    "unary": {"method": "POST", "url": "/analyze-context", "json": {"description": "d"}},
    "upload": {
        "method": "POST",
        "url": "/process",
        "content": bytes(2_000_000),
        "headers": {"content-type": "image/png"},
    },
    "events": {"method": "GET", "url": "/jobs/abc123/events"},
    "download": {"method": "GET", "url": "/jobs/abc123/images/hero"},
}


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_client_that_leaves_cancels_the_call(kind: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.hold = asyncio.Event()
    request = asyncio.create_task(http.request(**REQUESTS[kind]))
    await asyncio.wait_for(doubles.held.wait(), 10)
    request.cancel()
    await asyncio.wait_for(doubles.cancelled.wait(), 10)


async def test_a_client_that_leaves_in_the_middle_of_its_upload(start: Start, doubles: Doubles) -> None:
    http = await start()
    host, port = http.base_url.host, http.base_url.port
    _, writer = await asyncio.open_connection(host, port)
    head = f"POST /process HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/png\r\ncontent-length: 3000000\r\n\r\n"
    writer.write(head.encode() + bytes(1_500_000))
    await writer.drain()
    await asyncio.wait_for(doubles.arrived.wait(), 10)
    writer.close()
    await asyncio.wait_for(doubles.left.wait(), 10)
    assert (await http.get("/sizes")).status_code == 200


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        ("application/json", b'{"imageData": "'),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("image/png", bytes(1_500_000)),
    ],
)
async def test_an_upload_that_stops_loses_its_place(kind: str, piece: bytes, start: Start) -> None:
    http = await start(body_seconds=0.2, max_concurrent_requests=1)
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    head = f"POST /process HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: 3000000\r\n\r\n"
    writer.write(head.encode() + piece)
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"BODY_TIMEOUT" in answer
    assert (await http.get("/sizes")).status_code == 200
    writer.close()


@pytest.mark.parametrize(
    ("kind", "size"), [("text/plain", 20_000_000), ("application/json", 20_000_000), ("image/png", 40_000_000)]
)
async def test_who_reads_after_sending_all_hears_why_it_was_refused(kind: str, size: int, start: Start) -> None:
    http = await start(max_body_bytes=15_000_000)
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    head = f"POST /process HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(30):
        for _ in range(size // 1_000_000):
            writer.write(bytes(1_000_000))
            await writer.drain()
        answer = await reader.read()
    assert answer.split()[1] in (b"413", b"415")
    writer.close()


async def test_a_body_that_trickles_in_meets_its_deadline(start: Start) -> None:
    http = await start(timeout_seconds=0.3)
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    head = (
        b"POST /process HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3000\r\n\r\n"
    )
    writer.write(head)
    answer = asyncio.create_task(reader.read())
    async with asyncio.timeout(20):
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.01)
    assert (await answer).startswith(b"HTTP/1.1 504 ")
    writer.close()


@pytest.mark.parametrize("piece", [b"", b"GET /sizes HTTP/1.1\r\nhost: localhost\r\nx: "])
async def test_a_head_that_never_ends_costs_its_connection(piece: bytes, start: Start) -> None:
    http = await start(head_seconds=0.2)
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write(piece)
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_an_answer_may_take_longer_than_a_head(start: Start, doubles: Doubles) -> None:
    http = await start(head_seconds=0.1)
    doubles.hold = asyncio.Event()
    asked = asyncio.create_task(http.post("/analyze-context", json={"description": "d"}))
    await doubles.held.wait()
    await asyncio.sleep(0.3)
    doubles.hold.set()
    assert (await asked).status_code == 200
    assert (await http.get("/sizes")).status_code == 200, "on the same connection"


async def test_a_crowd_that_asks_for_health_asks_the_servers_once(
    upstream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    state = Health.state

    async def counted(self: Health, server: str) -> str:
        asked.append(server)
        return await state(self, server)

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200

    monkeypatch.setattr(Health, "state", counted)
    channels = Channels(dict.fromkeys(SERVERS, upstream))
    health = Health(channels)
    scope = {"type": "http", "method": "GET", "path": "/health"}
    await asyncio.gather(*(health(scope, receive, send) for _ in range(20)))
    assert sorted(asked) == sorted(SERVERS)
    await health(scope, receive, send)
    assert len(asked) == 2 * len(SERVERS), "an answer is not kept"
    await channels.close()


async def receive() -> Any:
    raise AssertionError("there is nothing to read")


async def test_watches_end_when_the_gateway_drains(start: Start, doubles: Doubles) -> None:
    draining = asyncio.Event()
    doubles.hold = asyncio.Event()
    http = await start(draining=draining)
    async with http.stream("GET", "/jobs/abc123/events") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        draining.set()
        rest = [line async for line in lines]
    assert "event: end" not in rest


def gateway(stderr: Any = asyncio.subprocess.PIPE, **environment: str) -> Any:
    return asyncio.create_subprocess_exec(
        sys.executable, "-m", "imajin_gateway", env={**os.environ, **environment}, stderr=stderr
    )


async def test_a_log_that_can_not_be_written_fails_no_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    full = os.open("/dev/full", os.O_WRONLY)
    process = await gateway(full, IMAJIN_GATEWAY_ADDRESS=address)
    os.close(full)
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}") as http, asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.ConnectError):
                    await http.get("/health/live")
                    break
            # Some lines fit into a buffer.
            statuses = [(await http.get("/nowhere")).status_code for _ in range(60)]
        assert set(statuses) == {404}
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


async def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = await gateway(IMAJIN_GATEWAY_ADDRESS=address)
        _, said = await process.communicate()
    assert process.returncode == 3
    assert address in said.decode()
    assert "IMAJIN_GATEWAY_ADDRESS" in said.decode()


@pytest.mark.parametrize(
    "environment",
    [
        {"IMAJIN_GATEWAY_ADDRESS": "nowhere"},
        {"IMAJIN_GATEWAY_TIMEOUT_SECONDS": "-1"},
        {"IMAJIN_CONFIG": "/no/file.toml"},
    ],
)
async def test_bad_settings(environment: dict[str, str]) -> None:
    process = await gateway(**environment)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert "bad settings" in said.decode()


async def test_sigterm_ends_it_though_streams_are_open(upstream: str, doubles: Doubles) -> None:
    doubles.hold = asyncio.Event()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = await gateway(IMAJIN_GATEWAY_ADDRESS=address, IMAJIN_ORCHESTRATOR_ADDRESS=upstream)
    while b'"serving"' not in await process.stderr.readline():
        pass
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", verify=False) as http,
        http.stream("GET", "/jobs/abc123/events") as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 4) == 0


def test_settings_come_from_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "imajin.toml"
    file.write_text(
        '[gateway]\ncors_origins = ["https://a.example"]\nheartbeat_seconds = 3\n[addresses]\nprompt = "10.0.0.1:1"\n'
    )
    monkeypatch.setenv("IMAJIN_CONFIG", str(file))
    monkeypatch.setenv("IMAJIN_GATEWAY_HOSTS", "a.example, b.example")
    monkeypatch.setenv("IMAJIN_VRAM_ADDRESS", "10.0.0.2:2")
    monkeypatch.setenv("IMAJIN_GATEWAY_ADDRESS", "[::1]:9000")
    settings = GatewaySettings()
    assert (settings.cors_origins, settings.heartbeat_seconds) == (["https://a.example"], 3)
    assert settings.hosts == ["a.example", "b.example"]
    assert settings.addresses.servers()["prompt"] == "10.0.0.1:1"
    assert settings.addresses.servers()["vram"] == "10.0.0.2:2"
    assert settings.bind == ("::1", 9000)


async def test_health_checks_that_go_well_fill_no_log(http: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        for path in ("/health/live", "/health", "/nowhere"):
            await http.get(path)
    levels = [(line["path"], line["log_level"]) for line in lines if line["event"] == "request"]
    assert levels == [("/health/live", "debug"), ("/health", "debug"), ("/nowhere", "info")]
