"""Each rpc through the client, over real gRPC: what goes out, and what comes back as Python values."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image as Pillow

from imajin_client import (
    AsyncClient,
    Client,
    Image,
    ImageReady,
    Job,
    PageOptions,
    Preview,
    Progress,
    TextOverlay,
    Watermark,
)
from imajin_client.describing import Classification, Description, Prompt, Reasoning
from imajin_client.errors import InvalidArgument

from .answers import PIXELS, SMALL
from .doubles import Doubles


async def test_describe_sends_what_is_known_and_answers_in_words(doubles: Doubles, client: AsyncClient) -> None:
    found = await client.describe("a happy panda", count=3, region="japan", age="child", tags=["zoo"], seed=0)
    asked = doubles.asked["AnalyzeContext"][0]
    assert (asked.description, asked.count, asked.filters.region) == ("a happy panda", 3, "japan")
    assert (asked.filters.subjects.age, list(asked.filters.tags)) == ("child", ["zoo"])
    assert asked.HasField("seed")
    assert asked.seed == 0
    assert found.prompts == (Prompt("close", "a panda", "blur"),)
    assert (found.config.style, found.config.aspect, found.config.seed) == ("photorealistic", "landscape", 0)
    assert found.classification.cultures[0].display_name == "Japan"
    assert (found.engine, found.completion_tokens) == ("embedded", 9)


async def test_describe_without_a_seed_sends_none(doubles: Doubles, client: AsyncClient) -> None:
    await client.describe("a panda")
    assert not doubles.asked["AnalyzeContext"][0].HasField("seed")
    assert not doubles.asked["AnalyzeContext"][0].filters.HasField("subjects")


async def test_describe_stream_yields_events_in_order(client: AsyncClient) -> None:
    events = [event async for event in client.describe_stream("a panda")]
    assert [type(event) for event in events] == [Classification, Reasoning, Reasoning, Prompt, Description]
    assert "".join(event.text for event in events if isinstance(event, Reasoning)) == events[-1].reasoning


async def test_generate_assembles_the_image_and_its_derivatives(doubles: Doubles, client: AsyncClient) -> None:
    seen: list[Progress] = []
    image = await client.generate(
        "a panda",
        width=96,
        height=64,
        seed=0,
        noise_canvas=(96, 96),
        style="anime",
        format="webp",
        text_overlay=TextOverlay("hi", position="top-left"),
        watermark="",
        on_progress=seen.append,
    )
    asked = doubles.asked["Generate"][0]
    assert (asked.width, asked.seed, asked.style, asked.format) == (96, 0, 2, 3)
    assert (asked.text_overlay.text, asked.text_overlay.position) == ("hi", 1)
    assert (asked.noise_canvas.width, asked.noise_canvas.height) == (96, 96)
    assert asked.HasField("watermark")
    assert not asked.HasField("steps")
    assert image.data == PIXELS
    assert (image.format, image.width, image.height, image.seed, image.model) == ("webp", 96, 64, 0, "embedded")
    assert [(item.name, item.data, item.width) for item in image.derivatives] == [("hero-48.webp", SMALL, 48)]
    assert image.stage_ms == {"generating": 5.0, "processing": 2.0}
    assert [item.label for item in seen] == ["queued (place 2)", "denoising 1/2", "denoising 2/2"]


async def test_schedulers_and_adapters_go_out_by_their_words(doubles: Doubles, client: AsyncClient) -> None:
    await client.generate("a panda", scheduler="dpmpp2m-sde-karras", loras={"ink": 0.5, "fur": -1})
    asked = doubles.asked["Generate"][0]
    assert asked.scheduler == 13
    assert [(lora.name, lora.weight) for lora in asked.loras] == [("ink", 0.5), ("fur", -1.0)]
    await client.batch_sizes("a panda", sizes=["hero"], scheduler="lcm", loras=["ink"])
    batch = doubles.asked["SubmitBatchSizes"][0]
    assert (batch.scheduler, batch.loras[0].name, batch.loras[0].HasField("weight")) == (16, "ink", False)
    with pytest.raises(InvalidArgument, match="euler-karras"):
        await client.generate("a panda", scheduler="oiler")  # type: ignore[typeddict-item]


async def test_edit_sends_the_image_and_the_mask(doubles: Doubles, client: AsyncClient) -> None:
    seen: list[Progress] = []
    mask = Pillow.new("L", (96, 64), 255)
    image = await client.edit(
        PIXELS, "a panda", mask=mask, strength=0.5, seed=3, width=96, scheduler="euler", on_progress=seen.append
    )
    spec = doubles.asked["Edit"][0][0].spec
    assert (spec.prompt, spec.strength, spec.width, spec.scheduler) == ("a panda", 0.5, 96, 4)
    assert not spec.HasField("height")
    assert Pillow.open(io.BytesIO(spec.mask_data)).getpixel((0, 0)) == 255
    assert (image.data, image.seed, image.steps, image.format) == (PIXELS, 3, 1, "webp")
    assert [item.label for item in seen] == ["denoising 1/1"]
    events = [event async for event in client.edit_stream(Pillow.new("RGB", (8, 8)), "a cat", preview_interval=1)]
    assert [type(event) for event in events] == [Progress, Preview, Image]
    assert not doubles.asked["Edit"][1][0].spec.HasField("strength")


async def test_a_mask_that_the_contract_refuses_is_not_sent(doubles: Doubles, client: AsyncClient) -> None:
    bare = Image(bytes(12), "raw-rgb8", 2, 2)
    for mask in (bytes(2**20 + 1), bare):
        with pytest.raises(InvalidArgument, match="mask"):
            await client.edit(PIXELS, "a panda", mask=mask)
    assert not doubles.asked["Edit"]


async def test_generate_stream_yields_progress_previews_and_the_image(client: AsyncClient) -> None:
    events = [event async for event in client.generate_stream("a panda", preview_interval=1)]
    assert [type(event) for event in events] == [Progress, Progress, Preview, Progress, Preview, Image]
    assert isinstance(events[2], Preview)
    assert (events[2].data, events[2].step) == (b"jpeg", 1)
    assert events[-1].seed == 99


async def test_submissions_answer_a_job_and_carry_the_request_id(doubles: Doubles, client: AsyncClient) -> None:
    job = await client.submit_generate("a panda", seed=3, request_id="once", skip_processing=True)
    asked = doubles.asked["SubmitGenerate"][0]
    assert (job.job_id, job.status, job.kind, job.done) == ("job-1", "queued", "generate", False)
    assert (asked.request_id, asked.generate.seed, asked.generate.skip_processing) == ("once", 3, True)

    batch = await client.batch_sizes("a panda", sizes=["hero", "300x600"], seed=7, watermark=Watermark("me"))
    sent = doubles.asked["SubmitBatchSizes"][0]
    assert (batch.job_id, batch.kind) == ("job-1", "batch-sizes")
    assert (list(sent.sizes), sent.seed, sent.watermark.text) == (["hero", "300x600"], 7, "me")


async def test_plans_sizes_models_and_families(doubles: Doubles, client: AsyncClient) -> None:
    plan = await client.plan_sizes(["hero"], style="anime")
    assert doubles.asked["PlanBatchSizes"][0].style == 2
    assert plan.crops[0].base == plan.bases[0].name == "landscape"
    assert await client.sizes() == {"hero": (1920, 1080)}
    models = await client.models()
    assert (models[0].schedulers, models[0].edits) == (("ddim", "dpmpp2m-karras"), True)
    assert (models[0].loras[0].name, models[0].loras[0].loaded) == ("ink", False)
    assert (models[0].name, models[0].styles, models[0].base_sizes) == (
        "embedded",
        ("photorealistic", "anime"),
        ((96, 64),),
    )
    families = await client.families()
    assert (families["hero"].widths, families["hero"].formats, families["hero"].is_default) == (
        (640, 1280),
        ("webp", "avif"),
        True,
    )


async def test_process_streams_the_upload_and_reads_all_outputs(doubles: Doubles, client: AsyncClient) -> None:
    seen: list[Progress] = []
    done = await client.process(
        PIXELS, operations=["sanitize", "clip-focal"], size=(10, 20), focal_point=(0.5, 0), on_progress=seen.append
    )
    spec, *chunks = doubles.asked["Process"][0]
    assert list(spec.spec.operations) == [1, 6]
    assert (spec.spec.size.width, spec.spec.focal_point.x, spec.spec.HasField("focal_point")) == (10, 0.5, True)
    assert [len(part.chunk.data) for part in chunks] == [512 * 1024, 512 * 1024, len(PIXELS) - 1024 * 1024]
    assert chunks[0].chunk.info.size_bytes == len(PIXELS)
    assert chunks[0].chunk.info.sha256 == hashlib.sha256(PIXELS).digest()
    assert [part.chunk.last for part in chunks] == [False, False, True]
    assert done.image is not None
    assert done.image.data == PIXELS
    assert done.derivatives[0].data == SMALL
    assert done.source is not None
    assert done.source.removed == ("exif",)
    assert seen[0].label == "processing 1/2"


@pytest.mark.parametrize("kind", ["bytes", "path", "pillow", "image", "see-through"])
async def test_an_image_goes_in_as_bytes_path_pillow_or_image(
    kind: str, doubles: Doubles, client: AsyncClient, tmp_path: Any
) -> None:
    picture = Pillow.new("RGB", (4, 3), (1, 2, 3))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    encoded = buffer.getvalue()
    path = tmp_path / "picture.png"
    path.write_bytes(encoded)
    sources = {
        "bytes": encoded,
        "path": path,
        "pillow": picture,
        "image": Image(encoded, "png", 4, 3),
        "see-through": Pillow.new("RGBA", (4, 3), (1, 2, 3, 4)),
    }
    await client.focal_point(sources[kind])
    _, part = doubles.asked["DetectFocalPoint"][0]
    info, data = part.chunk.info, part.chunk.data
    if kind == "pillow":
        assert (info.format, info.width, info.height, data) == (5, 4, 3, bytes((1, 2, 3)) * 12)
    elif kind == "see-through":
        assert Pillow.open(io.BytesIO(data)).getpixel((0, 0)) == (1, 2, 3, 4)
    else:
        assert data == encoded


async def test_verify(client: AsyncClient) -> None:
    found = await client.verify(b"an image")
    assert (found.verdict, found.generated, found.format, found.width) == ("generated", True, "webp", 640)
    assert found.manifest is not None
    assert (found.manifest.state, found.manifest.model, found.manifest.signed_at) == ("trusted", "embedded", None)
    assert found.manifest.created_at == datetime.fromtimestamp(1_790_000_000, UTC)
    assert [ancestor.relationship for ancestor in found.manifest.ancestors] == ["parentOf"]
    assert (found.mark.found, found.mark.content_id) == (True, "0badcafe")


async def test_derivatives(doubles: Doubles, client: AsyncClient) -> None:
    made = await client.derivatives(SMALL, widths=[640], formats=["webp"])
    spec = doubles.asked["CreateDerivatives"][0][0].spec
    assert (list(spec.widths), list(spec.formats)) == ([640], [3])
    assert (made[0].name, made[0].quality, made[0].data) == ("hero-640.webp", 82, SMALL)
    assert (made[0].file_name, made[0].score) == ("hero-640.3fa9c1d2e4b5.webp", 70.5)
    assert (spec.target_quality, spec.HasField("page")) == (0, False)


async def test_derivatives_for_a_page(doubles: Doubles, client: AsyncClient) -> None:
    page = PageOptions(sizes="50vw", alt="A panda", url_prefix="/images/", eager=True)
    made = await client.derivatives(SMALL, target_quality=70, page=page)
    spec = doubles.asked["CreateDerivatives"][0][0].spec
    assert spec.target_quality == 70
    assert (spec.page.sizes, spec.page.alt, spec.page.url_prefix, spec.page.eager) == (
        "50vw",
        "A panda",
        "/images/",
        True,
    )
    assert made.page is not None
    assert made.page.html == '<img src="hero-640.3fa9c1d2e4b5.webp">'
    assert made.page.sources == (("image/webp", "hero-640.3fa9c1d2e4b5.webp 640w"),)
    assert made.source is not None
    assert made.source.thumb_hash == "3EgKFwhpaIVPh2aHVnh5WIdp+SVif0IG"


async def test_crops_and_focal_points(doubles: Doubles, client: AsyncClient) -> None:

    crop = await client.clip_focal(PIXELS, 300, 600, format="webp", text_overlay="hi")
    assert (crop.image.width, crop.image.height, crop.image.data) == (300, 600, PIXELS)
    assert (crop.focal_point.method, crop.focal_point.x, crop.upscale) == ("face", 0.25, 1.5)
    assert doubles.asked["ClipFocal"][0][0].spec.text_overlay.text == "hi"

    point = await client.focal_point(SMALL)
    assert (point.x, point.y, point.method) == (0.5, 0.25, "saliency")


async def test_jobs_are_read_listed_cancelled_and_watched(doubles: Doubles, client: AsyncClient) -> None:
    job = await client.jobs.get("job-1")
    assert (job.status, job.kind, job.seed, job.bases_generated, job.last_event) == (
        "completed",
        "batch-sizes",
        7,
        1,
        4,
    )
    assert job.create_time == datetime.fromtimestamp(1_700_000_000, UTC)
    assert job.images["hero"].size_bytes == len(PIXELS)
    assert [item.status for item in await client.jobs.list(limit=None)] == ["completed", "failed", "completed"]
    assert len(await client.jobs.list(limit=2, status="failed")) == 2
    assert doubles.asked["ListJobs"][-1].status == 4
    assert (await client.jobs.cancel("job-1")).status == "cancelled"
    events = [event async for event in client.jobs.watch("job-1")]
    assert [type(event) for event in events] == [Progress, Preview, ImageReady, Job]
    assert [event.sequence for event in events if not isinstance(event, Job)] == [1, 2, 3]
    later = [event async for event in client.jobs.watch("job-1", after_event=2, previews=False)]
    assert [type(event) for event in later] == [ImageReady, Job]
    assert doubles.asked["WatchJob"][-1].skip_previews
    assert (await client.jobs.wait("job-1")).done


async def test_results_of_jobs_come_as_images(client: AsyncClient) -> None:
    image = await client.jobs.result("job-1", "hero")
    assert (image.data, image.name, image.seed) == (PIXELS, "hero", 7)
    images = await client.jobs.images("job-1")
    assert images["hero"].data == PIXELS
    assert await client.jobs.download("job-1", "hero") == SMALL


async def test_cards_and_leases(client: AsyncClient) -> None:
    devices = await client.vram.devices()
    assert (devices[0].device_id, devices[0].simulated) == ("simulated-0", True)
    leases = await client.vram.leases()
    assert (leases[0].holder, leases[0].state, leases[0].fencing_token) == ("diffusion/embedded", "held", 3)
    async with client.vram.watch() as changes:
        async for cards in changes:
            assert cards.devices == tuple(devices)
            break


async def test_health_of_every_server(doubles: Doubles) -> None:
    places = {**doubles.addresses, "vram": "127.0.0.1:1"}
    async with AsyncClient(places) as client:
        found = await client.health(timeout=5)
    assert {name: item.state for name, item in found.items()} == {
        "prompt": "serving",
        "diffusion": "serving",
        "processing": "serving",
        "vram": "unreachable",
        "orchestrator": "serving",
    }


def test_the_blocking_twin_does_the_same(doubles: Doubles) -> None:
    with Client(doubles.addresses) as client:
        assert client.describe("a panda").prompts[0].prompt == "a panda"
        assert client.generate("a panda", seed=5).seed == 5
        assert [type(event) for event in client.describe_stream("a panda")][-1] is Description
        assert client.jobs.images("job-1")["hero"].data == PIXELS
        assert client.clip_focal(SMALL, 3, 4).image.width == 3
        assert client.vram.devices()[0].simulated
        assert client.health()["prompt"].ok
    client.close()
