"""Images on their way in: base64 JSON, a form, or the bare bytes; small ones in the spec, large ones as chunks."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from .answers import WEBP
from .conftest import Start
from .doubles import Doubles

LARGE = bytes(range(256)) * 12_000


def received(doubles: Doubles) -> bytes:
    _, requests, _ = doubles.seen[-1]
    return requests[0].spec.image_data or b"".join(request.chunk.data for request in requests[1:])


@pytest.mark.parametrize("image", [WEBP, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "spelling",
    [
        lambda data: base64.b64encode(data).decode(),
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        lambda data: "data:image/webp;base64," + base64.b64encode(data).decode(),
        lambda data: base64.encodebytes(data).decode(),
    ],
    ids=["standard", "url-safe", "data-url", "wrapped"],
)
async def test_base64_in_every_spelling(spelling: Any, image: bytes, http: httpx.AsyncClient, doubles: Doubles) -> None:
    answer = await http.post("/process", json={"imageData": spelling(image), "operations": ["optimize"]})
    assert answer.status_code == 200, answer.text
    assert received(doubles) == image
    assert base64.b64decode(answer.json()["imageData"]) == image
    assert list(doubles.request().spec.operations) == [2]


@pytest.mark.parametrize("image", [WEBP, LARGE], ids=["small", "large"])
async def test_the_bare_bytes_with_the_spec_in_the_query(
    image: bytes, http: httpx.AsyncClient, doubles: Doubles
) -> None:
    path = "/derivatives/clip-focal?width=300&height=600&focalPoint.x=0.1&focalPoint.y=0.2&format=webp"
    answer = await http.post(path, content=image, headers={"content-type": "image/png"})
    assert answer.status_code == 200, answer.text
    assert received(doubles) == image
    spec = doubles.request().spec
    assert (spec.width, spec.height, spec.format) == (300, 600, 3)
    assert spec.focal_point.x == pytest.approx(0.1)
    assert doubles.seen[-1][1][1].chunk.info.format == 1


async def test_lists_in_the_query_repeat_or_are_separated_by_commas(http: httpx.AsyncClient, doubles: Doubles) -> None:
    path = "/derivatives?widths=320,640&widths=1280&formats=webp&formats=avif"
    assert (await http.post(path, content=WEBP, headers={"content-type": "image/webp"})).status_code == 200
    assert list(doubles.request().spec.widths) == [320, 640, 1280]
    assert list(doubles.request().spec.formats) == [3, 4]


@pytest.mark.parametrize("image", [WEBP, LARGE], ids=["small", "large"])
async def test_a_form_with_the_file_before_its_fields(image: bytes, http: httpx.AsyncClient, doubles: Doubles) -> None:
    boundary = "b0undary"
    fields = {"operations": '["optimize", "derivatives"]', "family": "hero", "size": "12x30"}
    parts = [
        b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + image,
        *(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in fields.items()),
    ]
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts) + b"--b0undary--\r\n"
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = await http.post("/process", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert received(doubles) == image
    spec = doubles.request().spec
    assert (list(spec.operations), spec.family, spec.size.width) == ([2, 4], "hero", 12)


async def test_a_form_with_the_spec_as_json(http: httpx.AsyncClient, doubles: Doubles) -> None:
    spec = {"width": 30, "height": 20, "textOverlay": {"text": "Hi"}}
    answer = await http.post(
        "/derivatives/clip-focal", files={"file": ("a.webp", WEBP, "image/webp")}, data={"spec": json.dumps(spec)}
    )
    assert answer.status_code == 200, answer.text
    assert doubles.request().spec.text_overlay.text == "Hi"
    assert received(doubles) == WEBP


@pytest.mark.parametrize("name", ["mask", "maskData", "mask_data"])
async def test_a_form_with_a_mask_beside_the_image(name: str, http: httpx.AsyncClient, doubles: Doubles) -> None:
    files = {name: ("m.webp", WEBP, "image/webp"), "image": ("a.png", LARGE, "image/png")}
    answer = await http.post("/edit", files=files, data={"prompt": "a panda", "strength": "0.25"})
    assert answer.status_code == 200, answer.text
    spec = doubles.request().spec
    assert (spec.mask_data, spec.prompt, spec.strength) == (WEBP, "a panda", 0.25)
    assert received(doubles) == LARGE


async def test_a_mask_that_is_too_long_and_a_second_image_are_refused(
    http: httpx.AsyncClient, doubles: Doubles
) -> None:
    for files, field in (
        ({"mask": LARGE, "image": WEBP}, "mask"),
        ({"first": WEBP, "second": WEBP}, "image"),
    ):
        answer = await http.post("/edit", files=files, data={"prompt": "a panda"})
        assert answer.status_code == 400
        assert answer.json()["details"]["fields"][0]["field"] == field
    assert (await http.post("/process", files={"a": WEBP, "b": WEBP})).status_code == 400
    assert doubles.seen == []


async def test_an_edit_by_its_bytes_and_as_events(http: httpx.AsyncClient, doubles: Doubles) -> None:
    headers = {"content-type": "image/png", "accept": "text/event-stream"}
    answer = await http.post("/edit?prompt=a+panda&scheduler=euler-ancestral&steps=4", content=LARGE, headers=headers)
    assert answer.status_code == 200, answer.text
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event")]
    assert names == ["progress", "result", "end"]
    spec = doubles.request().spec
    assert (spec.prompt, spec.scheduler, spec.steps) == ("a panda", 6, 4)
    raw = await http.post("/edit?prompt=a", content=WEBP, headers={**headers, "accept": "image/*"})
    assert raw.headers["content-type"] == "image/png"


async def test_an_upload_is_answered_with_bytes_where_they_are_asked_for(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "image/png", "accept": "image/*"}
    assert (await http.post("/process", content=LARGE, headers=headers)).content == LARGE


async def test_an_image_in_two_places_is_refused(http: httpx.AsyncClient, doubles: Doubles) -> None:
    answer = await http.post("/process", files={"file": WEBP}, data={"imageData": base64.b64encode(WEBP).decode()})
    assert answer.status_code == 400
    assert answer.json()["details"]["fields"][0]["field"] == "imageData"
    assert doubles.seen == []


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
async def test_a_body_above_the_limit_is_refused(declared: bool, start: Start, doubles: Doubles) -> None:
    http = await start(max_body_bytes=100_000)

    async def pieces() -> Any:
        for _ in range(20):
            yield bytes(10_000)

    content = bytes(200_000) if declared else pieces()
    answer = await http.post("/process", content=content, headers={"content-type": "image/png"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "IMAGE_TOO_LARGE"
    assert answer.json()["details"]["limit"] == "100000"
    chunks = [request for _, requests, _ in doubles.seen for request in requests if request.HasField("chunk")]
    assert not any(request.chunk.last for request in chunks)
    text = await http.post("/generate", json={"prompt": "p" * 200_000})
    assert (text.status_code, text.json()["code"]) == (413, "BODY_TOO_LARGE")
    form = await http.post("/process", files={"file": bytes(200_000)})
    assert (form.status_code, form.json()["code"]) == (413, "IMAGE_TOO_LARGE")


async def test_twenty_megabytes_go_through_as_base64(http: httpx.AsyncClient, doubles: Doubles) -> None:
    image = LARGE * 6 + bytes(1_500_000)
    answer = await http.post("/focal-point", json={"imageData": base64.b64encode(image).decode()})
    assert answer.status_code == 200
    assert received(doubles) == image
