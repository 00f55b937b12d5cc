"""Each documented endpoint of the old system against the real suite, body by body."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

PROMPT = "a happy panda eating watermelon"
STEPS = 4


def picture(body: dict[str, Any]) -> Image.Image:
    """The image in `imageData`, which must be what the rest of the body says."""
    image = Image.open(io.BytesIO(base64.b64decode(body["imageData"], validate=True)))
    image.load()
    assert image.format is not None
    assert image.format.lower() == body["format"]
    assert image.size == (body["width"], body["height"])
    return image


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job once its events have ended."""
    with http.stream("GET", f"/jobs/{job_id}/events", headers={"accept": "text/event-stream"}) as events:
        assert events.status_code == 200
        for _ in events.iter_lines():
            pass
    answer = http.get(f"/jobs/{job_id}")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def known_as_made(http: httpx.Client, image_data: str) -> None:
    """A model made the image, and says so in both ways: in its manifest, and in its pixels where it is large enough for that."""
    found = http.post("/verify", json={"imageData": image_data}).json()
    assert (found["verdict"], found["manifest"]["state"]) == ("generated", "trusted")
    assert found["manifest"]["model"] == "embedded"
    if min(found["width"], found["height"]) >= 160:
        assert found["mark"]["found"]
        assert found["mark"]["contentId"] == found["manifest"]["contentId"]


@pytest.fixture(scope="module")
def source() -> str:
    """A small landscape picture as base64 PNG."""
    encoded = io.BytesIO()
    Image.linear_gradient("L").resize((640, 400)).convert("RGB").save(encoded, "PNG")
    return base64.b64encode(encoded.getvalue()).decode()


def test_analyze_context(http: httpx.Client) -> None:
    answer = http.post(
        "/analyze-context",
        json={"description": "a grandmother pouring tea at a Japanese tea ceremony", "category": "portrait", "count": 2,
              "filters": {"season": "autumn", "subjects": {"age": "elderly", "gender": "woman"}}, "locale": "en-US"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["classification"]["cultures"][0]["name"] == "japanese"
    assert body["generationConfig"]["style"] in ("photorealistic", "anime")
    assert len(body["prompts"]) == 2
    for prompt in body["prompts"]:
        assert set(prompt) == {"name", "prompt", "negativePrompt"}
        assert "grandmother" in prompt["prompt"].lower()


def test_generate_answers_the_documented_body(http: httpx.Client) -> None:
    answer = http.post("/generate", json={"prompt": PROMPT, "steps": STEPS, "seed": 7, "skip_processing": True})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["format"] == "png"
    assert body["seed"] == 7
    assert body["derivatives"] == []
    picture(body)


def test_generate_processes_unless_told_not_to(http: httpx.Client) -> None:
    body = http.post("/generate", json={"prompt": PROMPT, "steps": STEPS}).json()
    assert body["format"] == "webp"
    picture(body)
    known_as_made(http, body["imageData"])
    assert body["derivatives"]
    for derivative in body["derivatives"]:
        picture(derivative)
        known_as_made(http, derivative["imageData"])


def test_generate_takes_both_cases_and_finishes(http: httpx.Client) -> None:
    request = {
        "prompt": PROMPT, "negative_prompt": "blurry", "steps": STEPS, "guidance_scale": 3.5, "seed": 1, "skipProcessing": True,
        "textOverlay": {"text": "PANDA", "position": "top"}, "watermark": {"text": "imajin"}, "format": "webp",
    }  # fmt: skip
    first = http.post("/generate", json=request).json()
    plain = http.post(
        "/generate",
        json={"prompt": PROMPT, "negativePrompt": "blurry", "steps": STEPS, "guidanceScale": 3.5, "seed": 1,
              "skip_processing": True, "format": "webp"},
    ).json()  # fmt: skip
    assert first["imageData"] != plain["imageData"]
    assert picture(first).size == picture(plain).size


def test_generate_answers_raw_bytes(http: httpx.Client) -> None:
    request = {"prompt": PROMPT, "steps": STEPS, "seed": 3, "skip_processing": True}
    raw = http.post("/generate", json=request, headers={"accept": "image/*"})
    assert raw.status_code == 200
    assert raw.headers["content-type"] == "image/png"
    again = http.post("/generate", json=request).json()
    # Manifests tell the time; pixels, the mark in them included, follow from the request.
    drawn = [np.asarray(Image.open(io.BytesIO(data))) for data in (raw.content, base64.b64decode(again["imageData"]))]
    assert np.array_equal(*drawn), "the same seed gives the same pixels"


def test_generate_streams_events(http: httpx.Client) -> None:
    request = {"prompt": PROMPT, "steps": 20, "previewInterval": 2, "skip_processing": True}
    events: list[tuple[str, dict[str, Any]]] = []
    with http.stream("POST", "/generate", json=request, headers={"accept": "text/event-stream"}) as answer:
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                events.append((name, json.loads(line.removeprefix("data:"))))
    steps = [event["denoising"]["step"] for name, event in events if name == "progress" and "denoising" in event]
    assert steps == sorted(steps)
    assert steps[-1] == 20
    previews = [event for name, event in events if name == "preview"]
    assert previews
    for preview in previews:
        assert Image.open(io.BytesIO(base64.b64decode(preview["imageData"]))).format == "JPEG"
    assert [name for name, _ in events[-2:]] == ["result", "end"]


def test_edit_repaints_where_the_mask_is_white(http: httpx.Client) -> None:
    before = Image.effect_noise((96, 64), 80).convert("RGB")
    mask = Image.new("L", (96, 64))
    mask.paste(255, (0, 0, 48, 64))
    files = {}
    for name, image in (("image", before), ("mask", mask)):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files[name] = (f"{name}.png", buffer.getvalue(), "image/png")
    answer = http.post("/edit", files=files, data={"prompt": PROMPT, "steps": str(STEPS), "scheduler": "unipc"})
    assert answer.status_code == 200, answer.text
    made = picture(answer.json())
    assert made.size == (96, 64)
    changed = np.abs(np.asarray(made, int) - np.asarray(before)).max(axis=2)
    assert answer.json()["format"] == "png"
    # The picture is too small for an invisible mark, so outside of the mask nothing has moved.
    assert changed[:, 48:].max() == 0
    assert changed[:, :40].mean() > 8
    known_as_made(http, answer.json()["imageData"])


def test_a_scheduler_of_the_request(http: httpx.Client) -> None:
    body = {"prompt": PROMPT, "steps": STEPS, "seed": 1, "skip_processing": True}
    drawn = {
        name: http.post("/generate", json={**body, "scheduler": name}).json()["imageData"]
        for name in ("ddim", "euler-ancestral")
    }
    assert drawn["ddim"] != drawn["euler-ancestral"]
    refused = http.post("/generate", json={**body, "scheduler": "heun"})
    assert (refused.status_code, refused.json()["code"]) == (400, "INVALID_ARGUMENT")
    assert "euler-ancestral" in refused.json()["error"]
    unknown = http.post("/generate", json={**body, "loras": [{"name": "no-such-adapter"}]})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "NOT_FOUND")


def test_generate_async(http: httpx.Client) -> None:
    submitted = http.post("/generate/async", json={"prompt": PROMPT, "steps": STEPS, "seed": 5})
    assert submitted.status_code == 200, submitted.text
    assert set(submitted.json()) == {"jobId", "status"}
    job_id = submitted.json()["jobId"]
    job = ended(http, job_id)
    assert (job["status"], job["seed"]) == ("completed", 5)
    result = http.get(f"/jobs/{job_id}/result").json()
    picture(result)
    raw = http.get(f"/jobs/{job_id}/result", headers={"accept": "image/*"})
    assert raw.content == base64.b64decode(result["imageData"])


def test_process(http: httpx.Client, source: str) -> None:
    body = http.post("/process", json={"imageData": source}).json()
    assert picture(body).size == (640, 400)
    assert body["format"] == "webp"
    assert [variant["name"] for variant in body["variants"]] == ["optimize"]
    assert body["derivatives"]
    for image in [*body["variants"], *body["derivatives"]]:
        picture(image)
    assert body["metadata"]["format"] == "png"


def test_process_takes_raw_uploads_and_answers_raw_bytes(http: httpx.Client, source: str) -> None:
    answer = http.post(
        "/process?operations=convert-webp",
        content=base64.b64decode(source),
        headers={"content-type": "image/png", "accept": "image/webp"},
    )
    assert answer.headers["content-type"] == "image/webp", answer.text
    assert Image.open(io.BytesIO(answer.content)).size == (640, 400)


def test_process_takes_multipart(http: httpx.Client, source: str) -> None:
    answer = http.post(
        "/process", files={"image": ("a.png", base64.b64decode(source), "image/png")}, data={"operations": "optimize"}
    )
    assert answer.status_code == 200, answer.text
    picture(answer.json())


def test_derivatives(http: httpx.Client, source: str) -> None:
    body = http.post(
        "/derivatives", json={"imageData": source, "widths": [160, 320], "formats": ["webp", "jpeg"]}
    ).json()
    assert [(image["width"], image["format"]) for image in body["derivatives"]] == [
        (160, "webp"), (160, "jpeg"), (320, "webp"), (320, "jpeg"),
    ]  # fmt: skip
    for image in body["derivatives"]:
        picture(image)


def test_derivatives_for_a_page(http: httpx.Client, source: str) -> None:
    page = {"alt": "An apple", "sizes": "50vw", "urlPrefix": "/images/"}
    asked = {"imageData": source, "widths": [160, 320], "formats": ["webp"], "targetQuality": 60, "page": page}
    body = http.post("/derivatives", json=asked).json()
    assert all(image["score"] >= 60 for image in body["derivatives"])
    names = [image["fileName"] for image in body["derivatives"]]
    assert all(f"/images/{name}" in body["page"]["html"] for name in names)
    assert body["page"]["sources"][0]["type"] == "image/webp"
    assert body["metadata"]["thumbHash"]
    wrong = http.post(
        "/derivatives/clip-focal",
        json={"imageData": source, "width": 64, "height": 64, "quality": 80, "targetQuality": 60},
    )
    assert wrong.status_code == 400


def test_clip_focal(http: httpx.Client, source: str) -> None:
    request = {"imageData": source, "width": 200, "height": 300, "focalPoint": {"x": 0.9, "y": 0.5}}
    body = http.post("/derivatives/clip-focal", json=request).json()
    assert picture(body).size == (200, 300)
    assert body["focalPoint"]["method"] == "given"
    crop = body["crop"]
    assert crop["left"] <= 0.9 * 640 <= crop["left"] + crop["width"]
    raw = http.post("/derivatives/clip-focal", json=request, headers={"accept": "image/*"})
    assert raw.content == base64.b64decode(body["imageData"])


def test_batch_sizes(http: httpx.Client) -> None:
    sizes = ["hero", "og", "sidebar", "square", "400x400"]
    submitted = http.post("/generate/batch-sizes", json={"prompt": PROMPT, "sizes": sizes, "seed": 9, "steps": STEPS})
    assert submitted.status_code == 200, submitted.text
    assert submitted.json()["status"] == "queued"
    job_id = submitted.json()["job_id"]
    job = ended(http, job_id)
    assert job["status"] == "completed", job
    assert set(job["images"]) == set(sizes)
    assert job["seed"] == 9
    assert 0 < job["bases_generated"] < len(sizes)
    expected = {
        "hero": (1920, 1080),
        "og": (1200, 630),
        "sidebar": (300, 600),
        "square": (1080, 1080),
        "400x400": (400, 400),
    }
    for name, size in expected.items():
        image = job["images"][name]
        assert picture(image).size == size
        assert image["bytes"] == len(base64.b64decode(image["imageData"]))
        raw = http.get(image["url"])
        assert raw.content == base64.b64decode(image["imageData"])
        assert raw.headers["content-type"] == f"image/{image['format']}"
        assert image["base"] in {base["name"] for base in job["bases"]}
        assert 0 <= image["focalPoint"]["x"] <= 1
        known_as_made(http, image["imageData"])
    urls = http.get(f"/jobs/{job_id}?images=urls").json()
    assert not any(image.get("imageData") for image in urls["images"].values())


def test_jobs_are_cancelled_by_either_verb(http: httpx.Client) -> None:
    for cancel in (lambda job: http.delete(f"/jobs/{job}"), lambda job: http.post(f"/jobs/{job}:cancel")):
        job_id = http.post("/generate/async", json={"prompt": PROMPT, "steps": 150}).json()["jobId"]
        assert cancel(job_id).status_code == 200
        assert ended(http, job_id)["status"] == "cancelled"
        refused = http.get(f"/jobs/{job_id}/result")
        assert (refused.status_code, refused.json()["code"]) == (409, "JOB_CANCELLED")


def test_out_of_memory_is_the_documented_error(http: httpx.Client) -> None:
    answer = http.post("/generate", json={"prompt": PROMPT, "width": 4096, "height": 4096, "steps": STEPS})
    body = answer.json()
    assert (answer.status_code, body["code"], body["error"]) == (507, "GPU_OOM", "GPU out of memory"), body
    assert set(body["details"]) >= {"requested", "available"}


def test_what_else_the_shim_serves(http: httpx.Client) -> None:
    assert http.get("/health").status_code == 200
    assert {model["name"] for model in http.get("/models").json()["models"]} >= {"embedded"}
    assert http.get("/sizes").json()["sizes"]["hero"] == {"width": 1920, "height": 1080}
    assert "hero" in http.get("/families").json()["families"]
    assert http.get("/vram/devices").json()["devices"][0]["simulated"] is True
    assert http.get("/openapi.json").json()["openapi"].startswith("3.1")
    assert "text/html" in http.get("/docs").headers["content-type"]
    assert http.get("/jobs").json()["jobs"]
