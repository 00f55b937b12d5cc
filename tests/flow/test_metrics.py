"""Every program can be read by Prometheus, and what it reads is what the documentation lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

PROGRAMS = ("prompt", "diffusion", "processing", "vram", "orchestrator", "gateway")
DOCUMENTED = Path(__file__).parents[2] / "docs/metrics.md"
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def scraped(suite: Any, program: str) -> Samples:
    """Values by name and labels."""
    address = suite.environment[f"IMAJIN_{program.upper()}_METRICS_ADDRESS"]
    answer = httpx.get(f"http://{address}/metrics", timeout=30)
    assert answer.status_code == 200
    samples: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get(name, {}).get(tuple(sorted(labels.items())), 0.0)


CALLED = {"grpc_service": "imajin.diffusion.v1.DiffusionService", "grpc_method": "Generate"}


def ends(samples: Samples) -> dict[str, float]:
    """How often Generate ended, by status."""
    return {
        dict(labels)["grpc_code"]: count
        for labels, count in samples.get("grpc_server_handled_total", {}).items()
        if CALLED.items() <= dict(labels).items()
    }


@pytest.fixture(scope="module")
def worked(suite: Any) -> dict[str, float]:
    """The suite after a picture with previews, a refusal, and a job; how Generate had ended before."""
    before = ends(scraped(suite, "diffusion"))
    with httpx.Client(base_url=suite.gateway, timeout=150) as client:
        asked = {"prompt": "a red apple", "steps": 8, "width": 192, "height": 192, "preview_interval": 2}
        assert client.post("/generate", json=asked, headers={"accept": "text/event-stream"}).status_code == 200
        assert client.post("/generate", json={"prompt": ""}).status_code == 400
        assert client.get("/nowhere").status_code == 404
        job = client.post("/generate/batch-sizes", json={"prompt": "a cat", "sizes": ["avatar"], "steps": 2})
        assert job.status_code < 300, job.text
        job_id = (job.json().get("job") or job.json())["job_id"]
        client.get(f"/jobs/{job_id}/events", headers={"accept": "text/event-stream"})
    return before


def test_generations_are_counted_and_timed(suite: Any, worked: dict[str, float]) -> None:
    samples = scraped(suite, "diffusion")
    assert value(samples, "imajin_diffusion_generations_total", model="embedded", outcome="done") >= 2
    for phase in ("queued", "loading", "encoding", "denoising", "decoding", "finishing"):
        assert value(samples, "imajin_diffusion_phase_seconds_count", model="embedded", phase=phase) >= 1
    assert value(samples, "imajin_diffusion_step_seconds_count", model="embedded", shape="192x192") >= 8
    assert value(samples, "imajin_diffusion_batch_size_count", model="embedded") >= 8
    assert value(samples, "imajin_diffusion_previews_total", model="embedded", outcome="made") >= 1
    assert value(samples, "imajin_diffusion_model_loaded_bytes", model="embedded") > 50e6
    assert value(samples, "imajin_diffusion_queue_length", model="embedded") == 0
    ended = ends(samples)
    assert ended["OK"] - worked.get("OK", 0) >= 2
    # Nobody who has its result hangs up before the call has ended.
    assert ended.get("CANCELLED", 0) == worked.get("CANCELLED", 0)
    assert sum(ended.values()) == value(samples, "grpc_server_started_total", **CALLED)
    for code, count in ended.items():
        assert value(samples, "grpc_server_handling_seconds_count", grpc_code=code, **CALLED) == count


def test_leases_jobs_and_images_are_counted(suite: Any, worked: dict[str, float]) -> None:
    vram = scraped(suite, "vram")
    devices = {dict(labels)["device"] for labels in vram["imajin_vram_bytes"]}
    (device,) = devices
    assert value(vram, "imajin_vram_bytes", device=device, what="leased") > 0
    assert value(vram, "imajin_vram_leases", device=device, state="held") >= 1
    assert value(vram, "imajin_vram_wait_seconds_count") >= 2
    assert value(vram, "imajin_vram_ends_total", cause="released") >= 1
    jobs = scraped(suite, "orchestrator")
    assert sum(jobs["imajin_orchestrator_jobs_total"].values()) >= 1
    assert value(jobs, "imajin_orchestrator_stage_seconds_count", stage="generate") >= 1
    images = scraped(suite, "processing")
    assert sum(images["imajin_processing_encode_seconds_count"].values()) >= 1
    assert value(images, "imajin_processing_calls") == 0


def test_refusals_are_counted_by_their_reason(suite: Any, worked: dict[str, float]) -> None:
    found = [scraped(suite, name).get("imajin_errors_total", {}) for name in PROGRAMS]
    assert sum(counts.get((("reason", "INVALID_ARGUMENT"),), 0) for counts in found) >= 1
    gateway = scraped(suite, "gateway")
    answered = {"route": "/generate", "method": "POST"}
    assert value(gateway, "imajin_http_requests_total", status="200", **answered) >= 1
    assert value(gateway, "imajin_http_requests_total", status="400", **answered) >= 1
    # What callers make up is one series.
    assert value(gateway, "imajin_http_requests_total", route="other", method="GET", status="404") >= 1
    assert not [labels for labels in gateway["imajin_http_requests_total"] if "/nowhere" in dict(labels).values()]
    assert value(gateway, "imajin_http_request_seconds_count", **answered) >= 2


def test_the_documentation_lists_what_there_is(suite: Any, worked: dict[str, float]) -> None:
    there: set[str] = set()
    for program in PROGRAMS:
        address = suite.environment[f"IMAJIN_{program.upper()}_METRICS_ADDRESS"]
        text = httpx.get(f"http://{address}/metrics", timeout=30).text
        there |= set(re.findall(r"^# TYPE ((?:imajin|grpc)_\w+) (?!.*created)", text, re.MULTILINE))
    there = {name for name in there if not name.endswith("_created")}
    assert there == set(re.findall(r"^\| `(\w+)` \|", DOCUMENTED.read_text(), re.MULTILINE))
