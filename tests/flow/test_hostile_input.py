"""Wrong input at every door of the real suite: a typed error, and the suite goes on."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from typing import Any

import httpx
import pytest
from PIL import Image

IMAGE_DOORS = [
    pytest.param("/process", {}, id="process"),
    pytest.param("/derivatives", {"widths": [32]}, id="derivatives"),
    pytest.param("/derivatives/clip-focal", {"width": 32, "height": 32}, id="clip-focal"),
    pytest.param("/focal-point", {}, id="focal-point"),
    pytest.param("/verify", {}, id="verify"),
]
TEXT_DOORS = [
    pytest.param("/analyze-context", "description", {}, id="analyze-context"),
    pytest.param("/generate", "prompt", {}, id="generate"),
    pytest.param("/generate/async", "prompt", {}, id="generate-async"),
    pytest.param("/generate/batch-sizes", "prompt", {"sizes": ["og"]}, id="batch-sizes"),
]
JSON_DOORS = [*(door.values[0] for door in TEXT_DOORS), *(door.values[0] for door in IMAGE_DOORS)]


def png(width: int = 40, height: int = 40) -> bytes:
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(encoded, "PNG")
    return encoded.getvalue()


def png_of(width: int, height: int) -> bytes:
    """A well-formed PNG that says it is this large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def refused(answer: httpx.Response, status: int | tuple[int, ...], code: str | tuple[str, ...]) -> dict[str, Any]:
    """The error body, which must be typed and say nothing of our insides."""
    body: dict[str, Any] = answer.json()
    assert set(body) == {"error", "code", "details"}, body
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), body
    assert body["code"] in (code if isinstance(code, tuple) else (code,)), body
    assert "Traceback" not in answer.text
    return body


@pytest.fixture(autouse=True)
def still_healthy(suite: Any, http: httpx.Client) -> Any:
    """Whatever came in, every server goes on."""
    yield
    assert http.get("/health").status_code == 200
    assert all(process.poll() is None for process in suite.processes.values())


@pytest.mark.parametrize(("path", "extra"), IMAGE_DOORS)
@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        pytest.param(b"", 400, ("INVALID_ARGUMENT", "IMAGE_INVALID"), id="empty"),
        pytest.param(b"\0" * 1000, 400, "IMAGE_INVALID", id="zeros"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "IMAGE_INVALID", id="svg"),
        pytest.param(png()[:60], 400, "IMAGE_INVALID", id="truncated"),
        pytest.param(png_of(100_000, 100_000), 413, "IMAGE_TOO_LARGE", id="bomb"),
        pytest.param(png_of(0, 10), 400, "IMAGE_INVALID", id="no width"),
    ],
)
def test_images(
    http: httpx.Client, path: str, extra: dict[str, Any], data: bytes, status: int, code: str | tuple[str, ...]
) -> None:
    refused(http.post(path, json={"imageData": encoded(data), **extra}), status, code)


@pytest.mark.parametrize(("path", "extra"), IMAGE_DOORS)
def test_an_image_over_the_byte_limit(http: httpx.Client, path: str, extra: dict[str, Any]) -> None:
    data = png() + b"\0" * (21 * 1024 * 1024)
    refused(http.post(path, json={"imageData": encoded(data), **extra}), 413, "IMAGE_TOO_LARGE")


@pytest.mark.parametrize(("path", "extra"), IMAGE_DOORS)
@pytest.mark.parametrize("value", ["not base64!", 7, {"a": 1}, "%%%"])
def test_image_data_that_is_no_base64(http: httpx.Client, path: str, extra: dict[str, Any], value: Any) -> None:
    refused(http.post(path, json={"imageData": value, **extra}), 400, ("INVALID_ARGUMENT", "IMAGE_INVALID"))


@pytest.mark.parametrize(("path", "field", "extra"), TEXT_DOORS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 4001, id="too long"),
        pytest.param("a\x00b", id="NUL"),
        pytest.param("a\x1b[31mb", id="escape"),
        pytest.param("a\x7fb", id="DEL"),
        pytest.param(7, id="number"),
        pytest.param(["a"], id="list"),
        pytest.param("\ud800", id="lone surrogate"),
    ],
)
def test_texts(http: httpx.Client, path: str, field: str, extra: dict[str, Any], value: Any) -> None:
    content = json.dumps({field: value, **extra})
    answer = http.post(path, content=content, headers={"content-type": "application/json"})
    body = refused(answer, 400, "INVALID_ARGUMENT")
    assert field in str(body["details"]) + body["error"]


@pytest.mark.parametrize("path", JSON_DOORS)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"prompt": "\xff\xfe"}', id="bad UTF-8"),
        pytest.param(b'{"nonsense": 1}', id="unknown field"),
        pytest.param(b'{"a":' * 5000 + b"1" + b"}" * 5000, id="deep"),
    ],
)
def test_bodies(http: httpx.Client, path: str, content: bytes) -> None:
    answer = http.post(path, content=content, headers={"content-type": "application/json"})
    refused(answer, 400, ("INVALID_ARGUMENT", "IMAGE_INVALID"))


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"model": "no-such-model"}, 404, "MODEL_NOT_FOUND"),
        ({"width": 0}, 400, "INVALID_ARGUMENT"),
        ({"height": 100_000}, 400, "INVALID_ARGUMENT"),
        ({"width": -64}, 400, "INVALID_ARGUMENT"),
        ({"steps": 0}, 400, "INVALID_ARGUMENT"),
        ({"steps": 151}, 400, "INVALID_ARGUMENT"),
        ({"seed": -1}, 400, "INVALID_ARGUMENT"),
        ({"seed": 2**32}, 400, "INVALID_ARGUMENT"),
        ({"guidanceScale": "NaN"}, 400, "INVALID_ARGUMENT"),
        ({"format": "bmp"}, 400, "INVALID_ARGUMENT"),
        ({"style": "cubist"}, 400, "INVALID_ARGUMENT"),
        ({"textOverlay": {"text": "x", "color": "red"}}, 400, "INVALID_ARGUMENT"),
        ({"family": "no-such-family"}, 404, "NOT_FOUND"),
    ],
)
def test_parameters_of_a_generation(http: httpx.Client, change: dict[str, Any], status: int, code: str) -> None:
    refused(http.post("/generate", json={"prompt": "a cat", "steps": 1} | change), status, code)


@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ([], 400),
        (["hero", "hero"], 400),
        (["0x0"], 400),
        (["100000x10"], 400),
        (["no-such-size"], (400, 404)),
        (["og"] * 40, 400),
        ("og", 400),
    ],
)
def test_sizes_of_a_batch(http: httpx.Client, sizes: Any, status: int | tuple[int, ...]) -> None:
    answer = http.post("/generate/batch-sizes", json={"prompt": "a cat", "sizes": sizes})
    refused(answer, status, ("INVALID_ARGUMENT", "NOT_FOUND"))


@pytest.mark.parametrize("suffix", ["", "/result", "/events", "/images/hero"])
def test_a_job_that_is_not_there(http: httpx.Client, suffix: str) -> None:
    refused(http.get(f"/jobs/no-such-job{suffix}"), 404, "JOB_NOT_FOUND")


def test_a_job_id_with_a_path_in_it(http: httpx.Client) -> None:
    refused(http.get("/jobs/..%2F..%2Fetc%2Fpasswd"), (400, 404), ("INVALID_ARGUMENT", "NOT_FOUND", "JOB_NOT_FOUND"))


def test_cancelling_a_job_that_is_not_there(http: httpx.Client) -> None:
    refused(http.delete("/jobs/no-such-job"), 404, "JOB_NOT_FOUND")


def test_paths_and_methods_that_are_not_there(http: httpx.Client) -> None:
    refused(http.get("/no/such/path"), 404, "NOT_FOUND")
    assert http.get("/generate").status_code == 405


def test_the_same_request_id_with_another_body(http: httpx.Client) -> None:
    headers = {"idempotency-key": "hostile-1"}
    first = http.post("/generate/async", json={"prompt": "a cat", "steps": 1}, headers=headers)
    again = http.post("/generate/async", json={"prompt": "a cat", "steps": 1}, headers=headers)
    assert first.json()["jobId"] == again.json()["jobId"]
    refused(http.post("/generate/async", json={"prompt": "a dog"}, headers=headers), 409, "REQUEST_ID_REUSED")


def test_moderation_refuses_a_prompt(http: httpx.Client) -> None:
    body = refused(http.post("/generate", json={"prompt": "explicit nude porn"}), 422, "CONTENT_REJECTED")
    assert body["details"]["stage"] == "prompt"
