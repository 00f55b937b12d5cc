"""Hostile input at the HTTP door: each gets its typed error, nothing reaches a server, nothing hangs."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import grpc
import httpx
import pytest

from imajin_gateway import contract
from imajin_gateway.errors import HTTP_STATUS

from .answers import status_of
from .conftest import Start
from .doubles import Doubles

JSON = {"content-type": "application/json"}

BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "no-json": (b"{prompt: 1}", "not JSON"),
    "truncated": (b'{"prompt": "a', "not JSON"),
    "two-objects": (b"{}{}", "not JSON"),
    "list": (b"[]", "must be a JSON object, not a list"),
    "text": (b'"prompt"', "must be a JSON object, not text"),
    "null": (b"null", "must be a JSON object, not null"),
    "nan": (b'{"prompt": "p", "guidanceScale": NaN}', "NaN is no JSON number"),
    "infinity": (b'{"prompt": "p", "guidanceScale": -Infinity}', "-Infinity is no JSON number"),
    "bad-utf8": (b'{"prompt": "\xff\xfe"}', "not UTF-8"),
    "utf16": ('{"prompt": "p"}'.encode("utf-16"), "not UTF-8"),
    "bom": (b'\xef\xbb\xbf{"prompt": "p"}', "not JSON"),
    "duplicate": (b'{"prompt": "p", "prompt": "q"}', "comes twice"),
    "deep": (b'{"prompt":' * 100_000, "nested too deeply"),
    "deep-list": (b"[" * 100_000, "nested too deeply"),
    "long-number": (b'{"prompt": "p", "seed": ' + b"9" * 10_000 + b"}", "number that is too long"),
    "control": (b'{"prompt": "a\x01b"}', "not JSON"),
}

FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown": ({"prompt": "p", "promt": "q"}, "promt", "no such field; did you mean prompt?"),
    "unknown-deep": (
        {"prompt": "p", "textOverlay": {"txt": "q"}},
        "textOverlay.txt",
        "no such field; did you mean text?",
    ),
    "both-cases": ({"prompt": "p", "negativePrompt": "a", "negative_prompt": "b"}, "negative_prompt", "is given twice"),
    "number-for-text": ({"prompt": 5}, "prompt", "must be text, not a number"),
    "text-for-number": ({"prompt": "p", "width": "wide"}, "width", "must be a whole number"),
    "fraction": ({"prompt": "p", "width": 1.5}, "width", "must be a whole number"),
    "true-for-number": ({"prompt": "p", "width": True}, "width", "must be a whole number"),
    "negative": ({"prompt": "p", "width": -1}, "width", "must be between 0 and 4294967295"),
    "huge": ({"prompt": "p", "seed": 2**32}, "seed", "must be between 0 and 4294967295"),
    "huge-float": ({"prompt": "p", "guidanceScale": 1e300}, "guidanceScale", "is too large"),
    "text-for-truth": ({"prompt": "p", "skip_processing": "maybe"}, "skip_processing", "must be true or false"),
    "no-such-value": ({"prompt": "p", "style": "cubist"}, "style", "must be one of photorealistic, anime"),
    "list-for-object": ({"prompt": "p", "watermark": []}, "watermark", "must be an object, not a list"),
    "half-surrogate": ({"prompt": "a\ud800b"}, "prompt", "holds half of a surrogate pair"),
}

IMAGES: dict[str, tuple[Any, str]] = {
    "no-base64": ("%%%%", "must be base64"),
    "not-ascii": ("ä" * 8, "must be base64"),
    "one-letter": ("A", "must be base64"),
    "number": (12, "must be base64 text, not a number"),
    "url": ("data:image/png,abc", "is a data: URL, but not a base64 one"),
    "endless-url": ("data:" + "a" * 1000, "is a data: URL, but not a base64 one"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_is_no_object_is_refused(name: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    body, text = BODIES[name]
    answer = await http.post("/generate", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
    assert text in answer.json()["error"]
    assert doubles.seen == []


@pytest.mark.parametrize("name", FIELDS)
async def test_a_field_that_is_wrong_is_named(name: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    body, field, text = FIELDS[name]
    answer = await http.post("/generate", content=json.dumps(body).encode(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
    assert answer.json()["details"]["fields"] == [{"field": field, "description": text}]
    assert doubles.seen == []


@pytest.mark.parametrize("name", IMAGES)
async def test_an_image_that_is_no_base64_is_refused(name: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    value, text = IMAGES[name]
    answer = await http.post("/process", json={"imageData": value})
    assert answer.status_code == 400
    assert answer.json()["details"]["fields"] == [{"field": "imageData", "description": text}]
    assert doubles.seen == []


async def test_everything_that_is_wrong_is_said_at_once(http: httpx.AsyncClient) -> None:
    body = {"prompt": 1, "sizes": ["hero", 2], "priority": "high", "extra": None}
    answer = await http.post("/generate/batch-sizes", json=body)
    assert [item["field"] for item in answer.json()["details"]["fields"]] == ["prompt", "sizes[1]", "priority", "extra"]


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, b"prompt=p"),
        ({"content-type": "text/plain"}, b'{"prompt": "p"}'),
        ({}, b'{"prompt": "p"}'),
        ({"content-type": "image/png"}, b"\x89PNG"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"\x1f\x8b"),
    ],
)
async def test_other_kinds_of_bodies_are_refused(
    headers: dict[str, str], content: bytes, http: httpx.AsyncClient
) -> None:
    answer = await http.post("/generate", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert answer.json()["details"]["accepted"] == "application/json"


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"no boundary at all", ""), (b"--x\r\nContent-Disposition: form-data\r\n\r\n", ""), (b"", "")],
)
async def test_a_broken_form_is_refused(content: bytes, text: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await http.post("/process", content=content, headers=headers)
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code in (200, 400)
    answer = await http.post("/process", content=content, headers={"content-type": "multipart/form-data"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/sizes/", 404, "NOT_FOUND"),
        ("GET", "/jobs/a%2Fb", 404, "NOT_FOUND"),
        ("GET", "/jobs/../../etc/passwd", 404, "NOT_FOUND"),
        ("PUT", "/sizes", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/generate", 405, "METHOD_NOT_ALLOWED"),
        ("BREW", "/jobs/abc123", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/sizes?nope=1", 400, "INVALID_ARGUMENT"),
        ("GET", "/jobs?pageSize=many", 400, "INVALID_ARGUMENT"),
        ("GET", "/jobs?pageSize=1&pageSize=2", 400, "INVALID_ARGUMENT"),
        ("GET", "/jobs?job_id.x=2", 400, "INVALID_ARGUMENT"),
        ("GET", "/jobs/abc123?job_id=other", 400, "INVALID_ARGUMENT"),
    ],
)
async def test_paths_verbs_and_queries(method: str, path: str, status: int, code: str, http: httpx.AsyncClient) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_query_beside_a_body_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/generate?seed=4", json={"prompt": "p"})
    assert answer.status_code == 400
    assert answer.json()["details"]["fields"][0]["field"] == "seed"


async def test_allowed_verbs_are_named(http: httpx.AsyncClient) -> None:
    answer = await http.request("PATCH", "/jobs/abc123")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "DELETE"}


@pytest.mark.parametrize("accept", ["text/html", "video/*", "application/json;q=0", "garbage/"])
async def test_nothing_that_can_be_answered(accept: str, http: httpx.AsyncClient) -> None:
    answer = await http.get("/sizes", headers={"accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize("accept", ["", "*/*", "nonsense", "application/*", "application/json;q=x, */*", ",,;;,"])
async def test_accept_headers_that_leave_it_open(accept: str, http: httpx.AsyncClient) -> None:
    assert (await http.get("/sizes", headers={"accept": accept})).status_code == 200


async def test_foreign_host_names_are_refused_on_loopback(http: httpx.AsyncClient, start: Start) -> None:
    answer = await http.get("/sizes", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (421, "HOST_NOT_ALLOWED")
    assert (await http.get("/sizes", headers={"host": "localhost:9"})).status_code == 200
    behind_proxy = await start(hosts=["pictures.example"])
    assert (await behind_proxy.get("/sizes", headers={"host": "pictures.example"})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1.evil.example", "127.evil.example", "localhost.evil.example", "[::1].evil.example:80", "", "127."],
)
async def test_names_that_only_look_like_this_machine_are_refused(host: str, http: httpx.AsyncClient) -> None:
    answer = await http.get("/sizes", headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "HOST_NOT_ALLOWED")


FOREIGN = [
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://["},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_pages_of_other_sites_can_not_make_it_work(
    headers: dict[str, str], start: Start, doubles: Doubles
) -> None:
    http = await start()
    form: dict[str, Any] = {"files": {"image": ("a.png", b"\x89PNG", "image/png")}, "data": {"prompt": "p"}}
    for request in (http.post("/edit", headers=headers, **form), http.post("/jobs/abc123:cancel", headers=headers)):
        answer = await request
        assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    assert doubles.seen == []
    assert (await http.get("/sizes", headers=headers)).status_code == 200
    trusting = await start(cors_origins=["*"])
    assert (await trusting.post("/jobs/abc123:cancel", headers=headers)).status_code == 200


async def test_its_own_pages_and_programs_make_it_work(http: httpx.AsyncClient) -> None:
    own = f"http://{http.base_url.netloc.decode()}"
    for headers in ({}, {"origin": own}, {"origin": own, "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}):
        assert (await http.post("/jobs/abc123:cancel", headers=headers)).status_code == 200, headers


@pytest.mark.parametrize("name", ["authorization", "traceparent", "tracestate"])
async def test_headers_that_grpc_can_not_carry_are_refused(
    name: str, http: httpx.AsyncClient, doubles: Doubles
) -> None:
    answer = await http.get("/sizes", headers={name: b"\xff\xfe"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
    assert name in answer.json()["error"]
    assert doubles.seen == []


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
async def test_pages_have_no_other_verbs(path: str, http: httpx.AsyncClient) -> None:
    answer = await http.post(path)
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in answer.headers["allow"]


def test_the_status_of_every_reason_is_that_of_the_contract() -> None:
    file = next(file for file in contract.descriptor_set().file if file.name == "imajin/common/v1/error.proto")
    comments = {tuple(item.path): item.leading_comments for item in file.source_code_info.location}
    reasons = file.enum_type[0]
    said = {}
    for index, value in enumerate(reasons.value):
        if match := re.search(r"HTTP (\d+)", comments[(5, 0, 2, index)]):
            said[value.name.removeprefix("ERROR_REASON_")] = int(match[1])
    assert len(said) == len(reasons.value) - 1
    assert {name: HTTP_STATUS[name] for name in said} == said


CODE_OF = {"NOT_FOUND": grpc.StatusCode.NOT_FOUND, "DEADLINE": grpc.StatusCode.DEADLINE_EXCEEDED}


@pytest.mark.parametrize("reason", [name for name in HTTP_STATUS if name != "CANCELLED"])
async def test_every_reason_comes_out_as_it_came_in(reason: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    code = CODE_OF.get(reason, grpc.StatusCode.FAILED_PRECONDITION)
    doubles.fail["ListSizes"] = status_of(code, "so it is", reason, retry=2.5, model="x")
    answer = await http.get("/sizes")
    assert answer.status_code == HTTP_STATUS[reason]
    assert answer.headers["retry-after"] == "3"
    assert answer.json() == {
        "error": "so it is",
        "code": reason,
        "details": {"model": "x", "retryAfterSeconds": 2.5},
    }


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503, "SERVER_UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "DEADLINE"),
        (grpc.StatusCode.CANCELLED, 499, "CANCELLED"),
        (grpc.StatusCode.UNIMPLEMENTED, 501, "UNIMPLEMENTED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "QUEUE_FULL"),
        (grpc.StatusCode.UNKNOWN, 500, "INTERNAL"),
    ],
)
async def test_statuses_without_a_reason(
    code: grpc.StatusCode, status: int, reason: str, http: httpx.AsyncClient, doubles: Doubles
) -> None:
    doubles.fail["ListSizes"] = status_of(code, "a secret of the server")
    answer = await http.get("/sizes")
    assert (answer.status_code, answer.json()["code"]) == (status, reason)
    assert "secret" not in answer.text


async def test_fields_are_named_as_json_has_them(http: httpx.AsyncClient, doubles: Doubles) -> None:
    status = status_of(
        grpc.StatusCode.INVALID_ARGUMENT, "too long", "INVALID_ARGUMENT", field="generate.text_overlay.stroke_width"
    )
    doubles.fail["SubmitGenerate"] = status
    answer = await http.post("/generate/async", json={"prompt": "p"})
    assert answer.json()["details"]["fields"] == [{"field": "textOverlay.strokeWidth", "description": "too long"}]


async def test_a_server_that_is_not_there(start: Start) -> None:
    from imajin_gateway.settings import Addresses

    http = await start(
        addresses=Addresses(
            orchestrator="127.0.0.1:1",
            prompt="127.0.0.1:1",
            diffusion="127.0.0.1:1",
            vram="127.0.0.1:1",
            processing="127.0.0.1:1",
        )
    )
    answer = await http.get("/sizes")
    assert (answer.status_code, answer.json()["details"]["server"]) == (503, "orchestrator")
    health = await http.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
    assert health.json()["servers"]["prompt"] == "unreachable"
    assert (await http.get("/health/live")).status_code == 200
    headers = {"content-type": "image/png"}
    upload = await http.post("/process", content=bytes(3_000_000), headers=headers)
    assert (upload.status_code, upload.json()["code"]) == (503, "SERVER_UNAVAILABLE")


async def test_deadlines(http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.hold = asyncio.Event()
    answer = await http.post("/analyze-context", json={"description": "d"}, headers={"grpc-timeout": "50m"})
    assert (answer.status_code, answer.json()["code"]) == (504, "DEADLINE")
    doubles.hold.set()
    endless = await http.get("/sizes", headers={"grpc-timeout": "99999999H"})
    assert endless.status_code == 200
    bad = await http.get("/sizes", headers={"grpc-timeout": "soon"})
    assert (bad.status_code, bad.json()["code"]) == (400, "INVALID_ARGUMENT")


async def test_more_requests_than_may_run_are_refused(start: Start, doubles: Doubles) -> None:
    http = await start(max_concurrent_requests=1)
    doubles.hold = asyncio.Event()
    first = asyncio.create_task(http.post("/analyze-context", json={"description": "d"}))
    await doubles.entered.wait()
    second = await http.get("/sizes")
    assert (second.status_code, second.json()["code"], second.headers["retry-after"]) == (429, "QUEUE_FULL", "1")
    for path in ("/health", "/health/live"):
        assert (await http.get(path)).status_code == 200, "whoever watches it must not take it for dead"
    doubles.hold.set()
    assert (await first).status_code == 200


async def test_more_bytes_than_may_be_held_are_refused(start: Start, doubles: Doubles) -> None:
    http = await start(max_buffered_bytes=100_000)
    body = {"imageData": base64.b64encode(bytes(90_000)).decode()}
    answer = await http.post("/process", json=body)
    assert (answer.status_code, answer.json()["code"]) == (429, "QUEUE_FULL")
    small = {"imageData": base64.b64encode(bytes(60_000)).decode()}
    for _ in range(3):
        assert (await http.post("/process", json=small)).status_code == 200


async def test_a_message_that_no_server_takes_is_refused(http: httpx.AsyncClient, doubles: Doubles) -> None:
    answer = await http.post("/generate", json={"prompt": "p" * 5_000_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
    assert doubles.seen == []


async def test_pages_of_other_origins(start: Start) -> None:
    closed = await start()
    assert (
        "access-control-allow-origin"
        not in (await closed.get("/sizes", headers={"origin": "https://a.example"})).headers
    )
    http = await start(cors_origins=["https://a.example"])
    asked = await http.options(
        "/generate",
        headers={
            "origin": "https://a.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,idempotency-key",
        },
    )
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://a.example")
    failed = await http.get("/nowhere", headers={"origin": "https://a.example"})
    assert (failed.status_code, failed.headers["access-control-allow-origin"]) == (404, "https://a.example")
