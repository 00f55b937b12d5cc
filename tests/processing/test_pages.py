"""What a page's author gets: names that are content addresses, a snippet that a browser reads, a ThumbHash."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import page_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin_servers.processing.derivatives import file_name
from imajin_servers.processing.page import File, Place, page
from imajin_servers.processing.placeholder import thumb_hash

from .conftest import Stub, file_of


class Elements(HTMLParser):
    """The elements of a snippet, in order, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def files(sizes: dict[str, int]) -> list[File]:
    """Two widths in each format, `sizes` bytes together."""
    return [
        File(f"hero-{width}.0123456789ab.{format}", format, width, width // 2, size // 2)  # type: ignore[arg-type]
        for format, size in sizes.items()
        for width in (1280, 640)
    ]


def test_a_browser_is_offered_the_smallest_encoding_that_it_knows_first() -> None:
    made = page(files({"webp": 200, "jpeg": 300, "avif": 100}), Place())
    (outer, _), (_, first), (_, second), (tag, plain) = Elements(made.html).found
    assert (outer, tag) == ("picture", "img")
    assert [first["type"], second["type"]] == ["image/avif", "image/webp"]
    assert first["srcset"] == "hero-640.0123456789ab.avif 640w, hero-1280.0123456789ab.avif 1280w"
    assert plain["src"] == "hero-1280.0123456789ab.jpeg"
    assert (plain["width"], plain["height"]) == ("1280", "640")
    assert [source.type for source in made.sources] == ["image/avif", "image/webp", "image/jpeg"]


def test_an_encoding_that_saves_nothing_is_not_offered() -> None:
    made = page(files({"webp": 400, "jpeg": 300, "avif": 100}), Place())
    assert [source.type for source in made.sources] == ["image/avif", "image/jpeg"]


def test_one_encoding_needs_no_picture_element() -> None:
    made = page(files({"webp": 200}), Place(eager=True))
    ((tag, plain),) = Elements(made.html).found
    assert tag == "img"
    assert plain["fetchpriority"] == "high"
    assert "loading" not in plain


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_out_of_its_attribute(sizes: str, alt: str, prefix: str) -> None:
    made = page(files({"webp": 200, "jpeg": 300}), Place(sizes, alt, prefix))
    elements = Elements(made.html).found
    assert [tag for tag, _ in elements] == ["picture", "source", "img"]
    srcset = elements[1][1]["srcset"]
    assert srcset is not None
    assert len(srcset.split(", ")) == 2
    assert all(len(candidate.split(" ")) == 2 for candidate in srcset.split(", "))


def test_a_file_name_holds_its_digest() -> None:
    digest = "3fa9c1d2e4b5" + "0" * 52
    assert file_name("hero-1280.jpg", "jpeg", digest) == "hero-1280.3fa9c1d2e4b5.jpg"
    assert file_name("clip-focal", "webp", digest) == "clip-focal.3fa9c1d2e4b5.webp"


@pytest.mark.parametrize(
    ("name", "expected"),
    # By two other encoders, the PyPI packages thash 1.2.1 and thumbhash-python 1.0.1, on the same small pixels.
    [
        ("astronaut.png", "3EgKFwhpaIVPh2aHVnh5WIdp+SVif0IG"),
        ("coffee.png", "GIoKDYSlqIdPUXd3eEeHh9J/YIkI"),
        ("rocket.jpg", "EOcFFYItd2ZwiZd1h4iIdnZwbgbn"),
    ],
)
def test_the_thumb_hash_is_that_of_other_encoders(photographs, name: str, expected: str) -> None:  # type: ignore[no-untyped-def]
    assert thumb_hash(Image.open(photographs / name).convert("RGB")) == expected


def test_a_thumb_hash_tells_what_is_see_through(astronaut: Image.Image) -> None:
    seen = astronaut.convert("RGBA")
    seen.putalpha(astronaut.getchannel(0))
    assert thumb_hash(seen) == "JlmGFQYYYVqfhohWSW1Q1gdlX1cNl4aWWg=="


@given(st.integers(1, 300), st.integers(1, 300), st.tuples(*[st.integers(0, 255)] * 4))
def test_every_shape_and_colour_has_a_thumb_hash(width: int, height: int, colour: tuple[int, int, int, int]) -> None:
    made = base64.b64decode(thumb_hash(Image.new("RGBA", (width, height), colour)))
    assert 5 <= len(made) <= 25
    assert bool(made[2] & 0x80) == (colour[3] < 255)


async def derivatives(stub: Stub, spec: pb.DerivativesSpec) -> tuple[pb.DerivativesResult, dict[int, bytes]]:
    files: dict[int, bytes] = {}
    result = pb.DerivativesResult()
    async for event in stub.CreateDerivatives(iter([pb.CreateDerivativesRequest(spec=spec)])):
        if event.HasField("chunk"):
            files[event.chunk.image_index] = files.get(event.chunk.image_index, b"") + event.chunk.data
        elif event.HasField("result"):
            result = event.result
    return result, files


async def test_derivatives_come_with_names_scores_and_a_snippet(stub: Stub, astronaut: Image.Image) -> None:
    data = file_of(astronaut.resize((256, 256)), "PNG")
    spec = pb.DerivativesSpec(
        image_data=data,
        widths=[64, 128],
        formats=[image_pb2.IMAGE_FORMAT_WEBP, image_pb2.IMAGE_FORMAT_JPEG],
        target_quality=60,
        page=page_pb2.PageSpec(sizes="50vw", alt="An astronaut", url_prefix="/images/"),
    )
    result, made = await derivatives(stub, spec)
    assert all(item.score >= 60 for item in result.derivatives)
    assert all(item.size_bytes == len(made[item.image_index]) for item in result.derivatives)
    assert 'alt="An astronaut"' in result.page.html
    assert result.page.sizes == "50vw"
    for item in result.derivatives:
        address, _, ending = item.name.rpartition(".")
        assert item.file_name.startswith(f"{address}.")
        assert item.file_name.endswith(f".{ending}")
        assert len(item.file_name) == len(item.name) + 13
    assert len(base64.b64decode(result.metadata.thumb_hash)) > 10
    again, _ = await derivatives(stub, spec)
    assert [item.file_name for item in again.derivatives] == [item.file_name for item in result.derivatives]


async def test_a_processing_reports_its_main_image_like_the_others(stub: Stub, astronaut: Image.Image) -> None:
    data = file_of(astronaut.resize((128, 128)), "PNG")
    spec = pb.ProcessSpec(image_data=data, operations=[pb.OPERATION_OPTIMIZE], target_quality=60)
    result = pb.ProcessResult()
    async for event in stub.Process(iter([pb.ProcessRequest(spec=spec)])):
        if event.HasField("result"):
            result = event.result
    assert result.score >= 60
    assert 1 <= result.quality <= 100
    assert result.file_name.startswith("optimize.")
    assert result.file_name.endswith(".webp")
    assert not result.HasField("page")
