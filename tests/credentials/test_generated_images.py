"""Credentials through the servers' doors: what a model drew stays known as that; what no model made never becomes it."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from imajin.common.v1 import credentials_pb2, image_pb2
from imajin.diffusion.v1 import diffusion_pb2, diffusion_pb2_grpc
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc, verify_pb2
from imajin_servers.diffusion.build import build as build_diffusion
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.processing.__main__ import build as build_processing
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.images import chunks
from imajin_servers.runtime.server import Lifetime

from ..serving import served

RAW = image_pb2.IMAGE_FORMAT_RAW_RGB8
Verify = Callable[[bytes], Awaitable[verify_pb2.VerifyResponse]]


@contextlib.asynccontextmanager
async def processing(**credentials: Any) -> AsyncIterator[Any]:
    chosen = ProcessingSettings(workers=2, focal={"faces": False}, credentials=CredentialSettings(**credentials))
    async with served(build_processing(chosen, Lifetime())) as there:
        yield processing_pb2_grpc.ProcessingServiceStub(there.channel)


@pytest.fixture
async def stub() -> AsyncIterator[Any]:
    async with processing() as stub:
        yield stub


async def draw(**request: Any) -> tuple[diffusion_pb2.GenerateResult, bytes]:
    async with served(build_diffusion(DiffusionSettings(lease="off"), Lifetime())) as there:
        stub = diffusion_pb2_grpc.DiffusionServiceStub(there.channel)
        asked = diffusion_pb2.GenerateRequest(**{"prompt": "a red car", "steps": 2, "seed": 1, **request})
        events = [event async for event in stub.Generate(asked)]
    return events[-1].result, b"".join(event.chunk.data for event in events if event.HasField("chunk"))


def messages(request: Any, spec: Any, data: bytes, format: Any = 0, size: tuple[int, int] = (0, 0)) -> Iterable[Any]:
    yield request(spec=spec)
    for chunk in chunks(data, format, *size):
        yield request(chunk=chunk)


async def verdict(stub: Any, data: bytes) -> verify_pb2.VerifyResponse:
    answer: verify_pb2.VerifyResponse = await stub.Verify(
        iter(messages(verify_pb2.VerifyRequest, verify_pb2.VerifySpec(), data))
    )
    return answer


async def crop(stub: Any, spec: pb.ClipFocalSpec, data: bytes, **raw: Any) -> tuple[pb.ClipFocalResult, bytes]:
    spec.focal_point.x = spec.focal_point.y = 0.5
    events = [event async for event in stub.ClipFocal(iter(messages(pb.ClipFocalRequest, spec, data, **raw)))]
    return events[-1].result, b"".join(event.chunk.data for event in events if event.HasField("chunk"))


async def process(stub: Any, data: bytes, *operations: Any) -> tuple[pb.ProcessResult, bytes]:
    spec = pb.ProcessSpec(operations=operations)
    events = [event async for event in stub.Process(iter(messages(pb.ProcessRequest, spec, data)))]
    main = b"".join(e.chunk.data for e in events if e.HasField("chunk") and e.chunk.image_index == 0)
    return events[-1].result, main


def pixels(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


async def test_what_is_drawn_and_all_that_is_made_of_it_is_known(stub: Any) -> None:
    result, drawn = await draw(format=image_pb2.IMAGE_FORMAT_PNG)
    assert result.credentials.manifest
    assert result.credentials.mark
    found = await verdict(stub, drawn)
    assert found.verdict == verify_pb2.VERDICT_GENERATED
    assert (found.manifest.model, found.manifest.prompt) == ("embedded", "")
    assert found.mark.found
    assert found.mark.content_id == found.manifest.content_id == result.credentials.content_id

    made, cut = await crop(stub, pb.ClipFocalSpec(width=400, height=360), drawn)
    assert made.credentials.manifest
    assert made.credentials.content_id == result.credentials.content_id
    found = await verdict(stub, cut)
    assert found.verdict == verify_pb2.VERDICT_GENERATED
    assert found.mark.content_id == result.credentials.content_id
    assert [ancestor.relationship for ancestor in found.manifest.ancestors] == ["parentOf"]
    assert found.manifest.model == "embedded"


async def test_what_is_drawn_from_a_picture_and_made_of_that_says_that_it_is_a_composite(stub: Any) -> None:
    photo = io.BytesIO()
    Image.effect_noise((256, 256), 60).convert("RGB").save(photo, "PNG")
    spec = diffusion_pb2.EditSpec(prompt="a red car", steps=2, seed=1, strength=0.5)
    async with served(build_diffusion(DiffusionSettings(lease="off"), Lifetime())) as there:
        calls = diffusion_pb2_grpc.DiffusionServiceStub(there.channel)
        edit = calls.Edit(iter(messages(diffusion_pb2.EditRequest, spec, photo.getvalue())))
        events = [event async for event in edit]
    assert events[-1].result.credentials.manifest
    edited = b"".join(event.chunk.data for event in events if event.HasField("chunk"))
    _, once = await crop(stub, pb.ClipFocalSpec(width=200, height=180), edited)
    _, twice = await crop(stub, pb.ClipFocalSpec(width=180, height=170), once)
    for image in (edited, once, twice):
        found = await verdict(stub, image)
        assert found.verdict == verify_pb2.VERDICT_GENERATED
        assert found.manifest.source_type.endswith("/compositeWithTrainedAlgorithmicMedia")


async def test_bare_pixels_hand_their_provenance_on(stub: Any) -> None:
    result, drawn = await draw(format=RAW, width=320, height=192)
    assert result.provenance.generated
    assert len(drawn) == 320 * 192 * 3
    spec = pb.ClipFocalSpec(width=600, height=315, provenance=result.provenance)
    made, cut = await crop(stub, spec, drawn, format=RAW, size=(320, 192))
    found = await verdict(stub, cut)
    assert found.verdict == verify_pb2.VERDICT_GENERATED
    assert found.manifest.state == verify_pb2.MANIFEST_STATE_TRUSTED
    assert list(found.manifest.actions[:3]) == ["c2pa.opened", "c2pa.cropped", "c2pa.resized"]
    assert [ancestor.signed for ancestor in found.manifest.ancestors] == [True]
    assert found.mark.content_id == made.credentials.content_id == result.provenance.content_id

    other = bytes(len(drawn))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await crop(stub, spec, other, format=RAW, size=(320, 192))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_equal_requests_give_equal_pixels() -> None:
    first, second = [await draw(format=RAW) for _ in range(2)]
    assert first[1] == second[1]
    assert first[0].credentials.content_id == second[0].credentials.content_id
    third, _ = await draw(format=RAW, seed=2)
    assert third.credentials.content_id != first[0].credentials.content_id


async def test_small_images_say_why_they_have_no_mark(stub: Any) -> None:
    result, drawn = await draw(width=96, height=64)
    assert result.credentials.manifest
    assert not result.credentials.mark
    assert result.credentials.mark_omission == credentials_pb2.MARK_OMISSION_TOO_SMALL
    assert (await verdict(stub, drawn)).verdict == verify_pb2.VERDICT_GENERATED


async def test_a_stripped_image_is_known_by_its_mark_and_signed_again(
    stub: Any, photographs: dict[str, Image.Image], encoded: Callable[..., bytes]
) -> None:
    declared = pb.ClipFocalSpec(width=512, height=400, format=image_pb2.IMAGE_FORMAT_PNG)
    declared.provenance.generated = True
    made, signed = await crop(stub, declared, encoded(photographs["coffee"], "JPEG", quality=90))
    stripped = encoded(Image.open(io.BytesIO(signed)), "WEBP", quality=82)
    found = await verdict(stub, stripped)
    assert found.verdict == verify_pb2.VERDICT_GENERATED_BY_MARK
    assert found.mark.content_id == made.credentials.content_id
    result, again = await process(stub, stripped, pb.OPERATION_CONVERT_WEBP)
    assert result.credentials.content_id == made.credentials.content_id
    assert (await verdict(stub, again)).verdict == verify_pb2.VERDICT_GENERATED


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
async def test_a_photograph_is_never_marked(
    format: str, stub: Any, photographs: dict[str, Image.Image], encoded: Callable[..., bytes]
) -> None:
    photograph = encoded(photographs["astronaut"], format)
    assert (await verdict(stub, photograph)).verdict == verify_pb2.VERDICT_NONE
    result, made = await process(stub, photograph, pb.OPERATION_CONVERT_WEBP)
    assert not result.HasField("credentials")
    assert b"C2PA" not in made
    assert (await verdict(stub, made)).verdict == verify_pb2.VERDICT_NONE


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF"])
async def test_sanitize_keeps_pixels_and_credentials(
    format: str, stub: Any, photographs: dict[str, Image.Image], encoded: Callable[..., bytes]
) -> None:
    declared = pb.ClipFocalSpec(width=400, height=300, format=f"IMAGE_FORMAT_{format}")
    declared.provenance.generated = True
    _, drawn = await crop(stub, declared, encoded(photographs["coffee"], "JPEG", quality=90))
    result, clean = await process(stub, drawn, pb.OPERATION_SANITIZE)
    assert np.array_equal(pixels(drawn), pixels(clean))
    assert "c2pa" in result.metadata.removed
    assert result.credentials.mark_omission == credentials_pb2.MARK_OMISSION_UNTOUCHED
    found = await verdict(stub, clean)
    assert found.verdict == verify_pb2.VERDICT_GENERATED
    assert found.mark.found
    assert "c2pa.edited.metadata" in found.manifest.actions


async def test_credentials_can_be_off(
    stub: Any, photographs: dict[str, Image.Image], encoded: Callable[..., bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    spec = pb.ClipFocalSpec(width=400, height=300)
    spec.provenance.generated = True
    photograph = encoded(photographs["coffee"], "JPEG")
    async with processing(manifests=False, marks=False) as off:
        made, cut = await crop(off, spec, photograph)
    assert not made.credentials.manifest
    assert made.credentials.mark_omission == credentials_pb2.MARK_OMISSION_OFF
    assert (await verdict(stub, cut)).verdict == verify_pb2.VERDICT_NONE
    said = "".join(capfd.readouterr())
    assert "without a C2PA manifest" in said
    assert "without an invisible mark" in said


async def test_hostile_manifests_are_answered(
    stub: Any, photographs: dict[str, Image.Image], encoded: Callable[..., bytes]
) -> None:
    plain = encoded(photographs["astronaut"].resize((200, 200)), "WEBP")

    def with_manifest(payload: bytes) -> bytes:
        body = plain[8:] + b"C2PA" + len(payload).to_bytes(4, "little") + payload + b"\0" * (len(payload) & 1)
        return b"RIFF" + len(body).to_bytes(4, "little") + body

    for payload in (b"x", b"\0" * 100, b"\0\0\0\x20jumb\0\0\0\x18jumd" + b"c2pa" * 4, b"\xff" * (2 << 20)):
        found = await verdict(stub, with_manifest(payload))
        assert found.verdict == verify_pb2.VERDICT_BROKEN
        assert found.manifest.state == verify_pb2.MANIFEST_STATE_BROKEN
        assert found.manifest.error
        # Nothing is made of what it says.
        result, _ = await process(stub, with_manifest(payload), pb.OPERATION_CONVERT_WEBP)
        assert not result.HasField("credentials")


async def test_a_changed_image_is_told_from_an_unsigned_one(stub: Any) -> None:
    _, drawn = await draw(width=96, height=64, format=image_pb2.IMAGE_FORMAT_PNG)
    changed = bytearray(drawn)
    at = changed.index(b"IDAT") - 4
    # A text between the manifest and the pixels: a valid PNG still.
    text = b"tEXta\0b"
    changed[at:at] = (3).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    found = await verdict(stub, bytes(changed))
    assert found.verdict == verify_pb2.VERDICT_BROKEN
    assert found.manifest.state == verify_pb2.MANIFEST_STATE_INVALID
    assert "assertion.dataHash.mismatch" in found.manifest.statuses
