"""The client drives every rpc of the contract against the real suite; the servers' own logs say which were called."""

from __future__ import annotations

import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from PIL import Image as PillowImage

from imajin_client import AsyncClient, Classification, Client, Description, Image, Job, Preview, Progress, Prompt
from imajin_client.errors import JobCancelled

ENDED = ("OK", "CANCELLED")
PROMPT = "a happy panda eating watermelon"


def contract_methods() -> set[str]:
    contract = descriptor_pb2.FileDescriptorSet.FromString((files("imajin") / "contract.binpb").read_bytes())
    return {
        f"/{file.package}.{service.name}/{method.name}"
        for file in contract.file
        if file.package.startswith("imajin.")
        for service in file.service
        for method in service.method
    }


def methods_that_ended_well(folder: Path) -> set[str]:
    """Those that a log names without an error. A client that has its result cancels what is left of the stream."""
    found = set()
    for log in folder.glob("*.log"):
        for line in log.read_text().splitlines():
            if line.startswith("{") and (entry := json.loads(line)).get("event") == "call" and entry["status"] in ENDED:
                found.add(entry["method"])
    return found


@pytest.fixture
def photo() -> bytes:
    encoded = io.BytesIO()
    PillowImage.linear_gradient("L").resize((640, 400)).convert("RGB").save(encoded, "JPEG")
    return encoded.getvalue()


async def test_the_client_drives_every_rpc(suite: Any, photo: bytes) -> None:
    async with AsyncClient(suite.addresses) as client:
        assert all(server.ok for server in (await client.health()).values())

        events = [event async for event in client.describe_stream(PROMPT, count=2, seed=1)]
        assert isinstance(events[0], Classification)
        assert [type(event) for event in events].count(Prompt) == 2
        assert isinstance(events[-1], Description)
        description = await client.describe(PROMPT, count=1, seed=1)
        assert len(description.prompts) == 1

        drawn = [event async for event in client.generate_stream(PROMPT, steps=20, preview_interval=2, seed=3)]
        assert isinstance(drawn[0], Progress)
        assert any(isinstance(event, Preview) for event in drawn)
        assert isinstance(drawn[-1], Image)
        assert drawn[-1].pil().size == (drawn[-1].width, drawn[-1].height)

        edited = await client.edit(drawn[-1], PROMPT, strength=0.5, steps=4, seed=3, scheduler="euler")
        assert edited.pil().size == (drawn[-1].width, drawn[-1].height)
        assert edited.steps == 2

        job = await client.submit_generate(PROMPT, steps=2, seed=4)
        watched = [event async for event in client.jobs.watch(job.job_id)]
        assert isinstance(watched[-1], Job)
        assert watched[-1].status == "completed"
        result = await client.jobs.result(job.job_id)
        assert (await client.jobs.images(job.job_id))["image"].data == result.data
        assert await client.jobs.download(job.job_id, "image") == result.data
        assert job.job_id in [listed.job_id for listed in await client.jobs.list()]

        plan = await client.plan_sizes(["hero", "sidebar"])
        assert {crop.name for crop in plan.crops} == {"hero", "sidebar"}
        batch = await client.batch_sizes(PROMPT, sizes=["og", "sidebar"], steps=2, seed=5)
        await client.jobs.cancel(batch.job_id)
        with pytest.raises(JobCancelled):
            await client.jobs.wait(batch.job_id)
        assert (await client.jobs.get(batch.job_id)).status == "cancelled"

        assert (await client.process(photo)).image.format == "webp"
        assert [image.width for image in await client.derivatives(photo, widths=[64, 128], formats=["webp"])] == [
            64,
            128,
        ]
        assert (await client.clip_focal(photo, 100, 200)).image.pil().size == (100, 200)
        assert 0 <= (await client.focal_point(photo)).x <= 1
        assert (await client.verify(drawn[-1].data)).verdict == "generated"
        assert (await client.verify(photo)).verdict == "none"

        assert "hero" in await client.sizes()
        assert "hero" in await client.families()
        assert (await client.models())[0].name == "embedded"

        async with client.vram.lease(gib=0.1, holder="a test") as lease:
            assert lease.fencing_token > 0
            assert "a test" in [held.holder for held in await client.vram.leases()]
            async for cards in client.vram.watch():
                assert cards.devices == tuple(await client.vram.devices())
                break
        assert "a test" not in [held.holder for held in await client.vram.leases()]

    assert methods_that_ended_well(suite.folder) >= contract_methods()


def test_the_synchronous_twin_drives_the_main_job(suite: Any, tmp_path: Path) -> None:
    with Client(suite.addresses) as client:
        prompt = client.describe(PROMPT, count=1, seed=1).prompts[0]
        job = client.batch_sizes(
            prompt.prompt, sizes=["og", "300x600"], negative_prompt=prompt.negative_prompt, steps=2, seed=6
        )
        for _ in client.jobs.watch(job.job_id):
            pass
        images = client.jobs.images(job.job_id)
        assert images["og"].pil().size == (1200, 630)
        saved = images["300x600"].save(tmp_path / "sidebar.webp")
        with PillowImage.open(saved) as sidebar:
            assert sidebar.size == (300, 600)
