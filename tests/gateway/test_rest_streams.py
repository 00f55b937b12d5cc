"""Streams by HTTP: server-sent events, lines of JSON, and the bare bytes of images."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import grpc
import httpx
import pytest

from .answers import PNG, WEBP, status_of
from .conftest import Start
from .doubles import Doubles

EVENTS = {"accept": "text/event-stream"}
IMAGE = {"accept": "image/*"}


def sse(text: str) -> list[dict[str, str]]:
    """The events of a stream, comments included, as their fields."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block]
    return [dict(line.split(": ", 1) for line in block) for block in blocks]


async def test_a_generation_is_told_event_by_event(http: httpx.AsyncClient) -> None:
    answer = await http.post("/generate", json={"prompt": "p", "seed": 5}, headers=EVENTS)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = sse(answer.text)
    assert [event["event"] for event in events] == ["progress", "preview", "result", "end"]
    progress, preview, result, _ = (json.loads(event["data"]) for event in events)
    assert progress["queued"] == {"position": 1}
    assert base64.b64decode(preview["imageData"]) == b"\xff\xd8jpeg"
    assert base64.b64decode(result["imageData"]) == PNG
    assert result["seed"] == 5


async def test_events_arrive_while_the_work_goes_on(http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.hold = asyncio.Event()
    async with http.stream("POST", "/generate", json={"prompt": "p"}, headers=EVENTS) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: progress"
        doubles.hold.set()
        rest = [line async for line in lines]
    assert "event: result" in rest


async def test_a_watch_numbers_its_events_and_resumes_behind_one(http: httpx.AsyncClient, doubles: Doubles) -> None:
    whole = sse((await http.get("/jobs/abc123/events")).text)
    assert [event.get("event") for event in whole] == ["progress", None, "preview", "image_ready", "job", "end"]
    assert [event.get("id") for event in whole] == ["1", None, "2", "3", "4", None]
    assert json.loads(whole[3]["data"])["image"]["url"] == "/jobs/abc123/images/0"
    assert json.loads(whole[4]["data"])["status"] == "completed"
    resumed = sse((await http.get("/jobs/abc123/events", headers={"Last-Event-ID": "2"})).text)
    assert [event.get("id") for event in resumed] == ["3", "4", None]
    assert doubles.request().after_event == 2
    await http.get("/jobs/abc123/events?afterEvent=3&skip_previews=true")
    assert (doubles.request().after_event, doubles.request().skip_previews) == (3, True)


async def test_a_bad_event_id_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("/jobs/abc123/events", headers={"Last-Event-ID": "soon"})
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_ARGUMENT")
    assert "last-event-id" in answer.json()["error"]


async def test_an_idle_stream_gets_comments(start: Start, doubles: Doubles) -> None:
    doubles.hold = asyncio.Event()
    http = await start(heartbeat_seconds=0.05)
    async with http.stream("GET", "/jobs/abc123/events?afterEvent=3") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": heartbeat"
        doubles.hold.set()
        assert "event: job" in [line async for line in lines]


async def test_a_unary_call_streams_by_its_twin(http: httpx.AsyncClient, doubles: Doubles) -> None:
    answer = await http.post("/analyze-context", json={"description": "d", "count": 2}, headers=EVENTS)
    names = ["classification", "reasoning_delta", "prompt", "result", "end"]
    events = sse(answer.text)
    assert [event["event"] for event in events] == names
    assert json.loads(events[1]["data"]) == "A panda: \n"
    assert doubles.seen[0][0] == "StreamAnalyzeContext"
    assert doubles.request().count == 2
    own = await http.post("/analyze-context:stream", json={"description": "d"})
    assert [event["event"] for event in sse(own.text)] == names
    lines = await http.post("/analyze-context", json={"description": "d"}, headers={"accept": "application/x-ndjson"})
    assert [next(iter(json.loads(line))) for line in lines.text.splitlines()][1] == "reasoningDelta"
    folded = await http.post(
        "/analyze-context:stream", json={"description": "d"}, headers={"accept": "application/json"}
    )
    assert folded.json()["prompts"][0]["negativePrompt"] == "blurry"


async def test_a_stream_without_an_end_is_told_as_plain_messages(http: httpx.AsyncClient) -> None:
    events = sse((await http.get("/vram/events")).text)
    assert json.loads(events[0]["data"])["devices"][0]["deviceId"] == "simulated-0"
    refused = await http.get("/vram/events", headers={"accept": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (406, "NOT_ACCEPTABLE")


async def test_lines_of_json(http: httpx.AsyncClient) -> None:
    answer = await http.post("/generate", json={"prompt": "p"}, headers={"accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [next(iter(line)) for line in lines] == ["progress", "preview", "result"]
    assert base64.b64decode(lines[-1]["result"]["imageData"]) == PNG


@pytest.mark.parametrize("path", ["/generate", "/jobs/abc123/result"])
async def test_images_come_as_their_bare_bytes(path: str, http: httpx.AsyncClient) -> None:
    body = {"prompt": "p"} if path == "/generate" else None
    answer = await http.request("POST" if body else "GET", path, json=body, headers=IMAGE)
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["etag"] == f'"{hashlib.sha256(PNG).hexdigest()}"'


async def test_an_image_that_is_known_is_not_sent_again(http: httpx.AsyncClient) -> None:
    tag = (await http.get("/jobs/abc123/result", headers=IMAGE)).headers["etag"]
    again = await http.get("/jobs/abc123/result", headers={**IMAGE, "if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


async def test_accept_names_the_format_that_is_made(http: httpx.AsyncClient, doubles: Doubles) -> None:
    await http.post("/generate", json={"prompt": "p"}, headers={"accept": "image/webp"})
    assert doubles.request().format == 3
    await http.post("/generate", json={"prompt": "p", "format": "png"}, headers={"accept": "image/webp"})
    assert doubles.request().format == 1
    await http.post("/generate", json={"prompt": "p"}, headers={"accept": "image/avif,image/webp,*/*;q=0.8"})
    assert doubles.request().format == 0


async def test_a_browser_that_opens_a_result_sees_the_image(http: httpx.AsyncClient) -> None:
    page = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
    assert (await http.get("/jobs/abc123/result", headers={"accept": page})).content == PNG
    assert (await http.get("/jobs/abc123", headers={"accept": page})).json()["status"] == "completed"


async def test_several_images_have_no_bare_form(http: httpx.AsyncClient) -> None:
    body = {"imageData": base64.b64encode(WEBP).decode()}
    main = await http.post("/process", json=body, headers=IMAGE)
    assert main.content == WEBP
    several = await http.post("/derivatives", json=body, headers=IMAGE)
    assert (several.status_code, several.json()["code"]) == (406, "NOT_ACCEPTABLE")


async def test_downloads_are_the_bytes_and_nothing_else(http: httpx.AsyncClient, doubles: Doubles) -> None:
    answer = await http.get("/jobs/abc123/images/hero%20wide", headers={"accept": "*/*"})
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert doubles.request().name == "hero wide"


async def test_a_failure_before_the_bytes_is_a_status(http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.fail_late["Generate"] = status_of(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "GPU out of memory", "GPU_OOM", requested="8GB", available="4GB"
    )
    for headers in (IMAGE, {"accept": "application/json"}):
        answer = await http.post("/generate", json={"prompt": "p"}, headers=headers)
        assert answer.status_code == 507
        assert answer.json() == {
            "error": "GPU out of memory",
            "code": "GPU_OOM",
            "details": {"requested": "8GB", "available": "4GB"},
        }


async def test_a_failure_in_the_middle_is_an_event(http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.fail_late["Generate"] = status_of(
        grpc.StatusCode.FAILED_PRECONDITION, "no", "CONTENT_REJECTED", stage="image"
    )
    events = sse((await http.post("/generate", json={"prompt": "p"}, headers=EVENTS)).text)
    assert [event["event"] for event in events] == ["progress", "preview", "error", "end"]
    assert json.loads(events[2]["data"]) == {"error": "no", "code": "CONTENT_REJECTED", "details": {"stage": "image"}}
    answer = await http.post("/generate", json={"prompt": "p"}, headers={"accept": "application/x-ndjson"})
    assert json.loads(answer.text.splitlines()[-1])["error"]["code"] == "CONTENT_REJECTED"


async def test_a_failure_at_the_start_of_a_stream_is_a_status(http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.fail["WatchJob"] = status_of(grpc.StatusCode.NOT_FOUND, "no job", "JOB_NOT_FOUND", job_id="nope")
    answer = await http.get("/jobs/nope/events")
    assert (answer.status_code, answer.json()["details"]) == (404, {"job_id": "nope"})


async def test_a_watch_whose_server_went_away_is_left_open_to_be_resumed(
    http: httpx.AsyncClient, doubles: Doubles
) -> None:
    doubles.fail_late["WatchJob"] = status_of(grpc.StatusCode.UNAVAILABLE, "bye", "DRAINING")
    events = sse((await http.get("/jobs/abc123/events")).text)
    assert events[-2]["event"] == "error"
    assert "retry" in events[-1]
    assert "end" not in [event.get("event") for event in events]


async def test_a_download_that_breaks_off_can_not_be_taken_for_whole(http: httpx.AsyncClient, doubles: Doubles) -> None:
    doubles.fail_late["DownloadJobImage"] = status_of(grpc.StatusCode.INTERNAL, "oops", "INTERNAL")
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get("/jobs/abc123/images/hero")
