"""Every endpoint that the data flow documents, with its body as documented. `golden/` holds the answers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from .answers import PNG, THUMB, WEBP
from .doubles import Doubles

GOLDEN = Path(__file__).parent / "golden"
IMAGE = base64.b64encode(PNG).decode()
SMALL = base64.b64encode(WEBP).decode()

ENDPOINTS: dict[str, tuple[str, str, Any]] = {
    "analyze-context": (
        "POST",
        "/analyze-context",
        {"description": "a panda", "category": "food", "filters": {"region": "china"}, "locale": "de-AT", "count": 1},
    ),
    "generate": (
        "POST",
        "/generate",
        {
            "prompt": "a panda",
            "negativePrompt": "blurry",
            "model": "embedded",
            "style": "anime",
            "width": 64,
            "height": 48,
            "steps": 4,
            "guidanceScale": 7.1,
            "seed": 0,
            "format": "png",
            "textOverlay": {"text": "Hi", "position": "bottom-right"},
            "watermark": {"text": "me"},
            "skip_processing": True,
        },
    ),
    "generate-async": ("POST", "/generate/async", {"prompt": "a panda"}),
    "edit": (
        "POST",
        "/edit",
        {
            "imageData": SMALL,
            "maskData": SMALL,
            "prompt": "a panda",
            "strength": 0.5,
            "scheduler": "dpmpp2m-karras",
            "loras": [{"name": "ink", "weight": 0.8}, {"name": "fur"}],
        },
    ),
    "process": ("POST", "/process", {"imageData": SMALL, "operations": ["optimize", "convert-webp", "derivatives"]}),
    "derivatives": ("POST", "/derivatives", {"imageData": SMALL, "widths": [320, 640], "formats": ["webp", "avif"]}),
    "clip-focal": (
        "POST",
        "/derivatives/clip-focal",
        {"imageData": SMALL, "width": 300, "height": 600, "focalPoint": {"x": 0.1, "y": 0.25}},
    ),
    "focal-point": ("POST", "/focal-point", {"imageData": SMALL}),
    "verify": ("POST", "/verify", {"imageData": SMALL}),
    "batch-sizes": (
        "POST",
        "/generate/batch-sizes",
        {"prompt": "a panda", "negativePrompt": "", "sizes": ["hero", "1200x630"], "seed": 1, "priority": 70},
    ),
    "batch-sizes-plan": ("POST", "/generate/batch-sizes:plan", {"sizes": ["hero"]}),
    "job": ("GET", "/jobs/abc123", None),
    "job-urls": ("GET", "/jobs/abc123?images=urls", None),
    "jobs": ("GET", "/jobs?pageSize=2&status=failed", None),
    "job-result": ("GET", "/jobs/abc123/result", None),
    "job-cancel": ("POST", "/jobs/abc123:cancel", None),
    "job-delete": ("DELETE", "/jobs/abc123", None),
    "models": ("GET", "/models", None),
    "sizes": ("GET", "/sizes", None),
    "families": ("GET", "/families", None),
    "vram-devices": ("GET", "/vram/devices", None),
    "vram-leases": ("GET", "/vram/leases", None),
    "health": ("GET", "/health", None),
}


def shortened(value: Any) -> Any:
    """Images by their known names instead of a megabyte of base64."""
    names = {
        base64.b64encode(data).decode(): f"<{name}>" for name, data in (("PNG", PNG), ("WEBP", WEBP), ("THUMB", THUMB))
    }
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_an_endpoint_answers_its_documented_body(name: str, http: httpx.AsyncClient) -> None:
    method, path, body = ENDPOINTS[name]
    answer = await http.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    golden = GOLDEN / f"{name}.json"
    assert shortened(answer.json()) == json.loads(golden.read_text())


def test_every_rule_of_the_contract_is_among_the_endpoints() -> None:
    from imajin_gateway.contract import bindings

    elsewhere = {"/jobs/{job_id}/events", "/vram/events", "/jobs/{job_id}/images/{name}", "/analyze-context:stream"}
    tested = {(method, path.split("?")[0].replace("abc123", "{job_id}")) for method, path, _ in ENDPOINTS.values()}
    missing = {(item.verb, item.template) for item in bindings() if item.template not in elsewhere} - tested
    assert not missing


async def test_the_fields_of_a_request_reach_the_server(http: httpx.AsyncClient, doubles: Doubles) -> None:
    await http.post("/generate", json=ENDPOINTS["generate"][2])
    request = doubles.request()
    assert (request.prompt, request.negative_prompt, request.model) == ("a panda", "blurry", "embedded")
    assert (request.style, request.format, request.skip_processing) == (2, 1, True)
    assert request.HasField("seed")
    assert request.seed == 0
    assert request.guidance_scale == pytest.approx(7.1)
    assert (request.text_overlay.text, request.text_overlay.position, request.watermark.text) == ("Hi", 9, "me")


@pytest.mark.parametrize(
    "body",
    [
        {
            "prompt": "p",
            "negative_prompt": "n",
            "guidance_scale": 2,
            "skip_processing": True,
            "text_overlay": {"text": "t"},
        },
        {
            "prompt": "p",
            "negativePrompt": "n",
            "guidanceScale": 2.0,
            "skipProcessing": True,
            "textOverlay": {"text": "t"},
        },
    ],
)
async def test_names_may_be_written_in_both_cases(body: Any, http: httpx.AsyncClient, doubles: Doubles) -> None:
    assert (await http.post("/generate", json=body)).status_code == 200
    request = doubles.request()
    assert (request.negative_prompt, request.guidance_scale, request.skip_processing) == ("n", 2, True)
    assert request.text_overlay.text == "t"


@pytest.mark.parametrize("style", ["anime", "ANIME", "Anime", "MODEL_STYLE_ANIME", "model-style-anime", 2, "2"])
async def test_enums_may_be_written_in_every_way(style: Any, http: httpx.AsyncClient, doubles: Doubles) -> None:
    assert (await http.post("/generate", json={"prompt": "p", "style": style})).status_code == 200
    assert doubles.request().style == 2


async def test_the_idempotency_key_becomes_the_request_id(http: httpx.AsyncClient, doubles: Doubles) -> None:
    await http.post("/generate/async", json={"prompt": "p"}, headers={"Idempotency-Key": "order-7"})
    assert doubles.request().request_id == "order-7"
    assert doubles.request().generate.prompt == "p"


async def test_ids_of_requests_are_passed_on_and_come_back(http: httpx.AsyncClient, doubles: Doubles) -> None:
    answer = await http.get("/sizes", headers={"x-request-id": "mine-1", "traceparent": "00-ab-cd-01"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert doubles.seen[0][2]["x-request-id"] == "mine-1"
    assert doubles.seen[0][2]["traceparent"] == "00-ab-cd-01"
    made = await http.get("/sizes", headers={"x-request-id": "with space"})
    assert made.headers["x-request-id"] not in ("", "with space")


async def test_head_answers_like_get_without_a_body(http: httpx.AsyncClient) -> None:
    answer = await http.head("/sizes")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len((await http.get("/sizes")).content)
    assert (await http.head("/jobs/abc123/events")).status_code == 200
