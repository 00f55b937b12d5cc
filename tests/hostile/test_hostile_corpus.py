"""Every file of the corpus against the domain, then against a real server in a process of its own, whose memory is watched."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from imajin.common.v1 import image_pb2
from imajin.processing.v1 import processing_pb2 as pb
from imajin.processing.v1 import processing_pb2_grpc as pb_grpc
from imajin_servers.runtime import images
from imajin_servers.runtime.decoding import decode as decoding
from imajin_servers.runtime.decoding.decode import decode, inspect
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge


def test_each_is_what_the_corpus_says(corpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = decoding.Image.open
    monkeypatch.setattr(
        decoding.Image, "open", lambda *args, **more: (opened.append("decoder"), real(*args, **more))[1]
    )
    wrong = {}
    for file in corpus:
        opened.clear()
        outcome = "taken"
        try:
            decode(inspect(file.data, Limits()))
        except (ImageInvalid, ImageTooLarge) as error:
            outcome = error.reason
        expected = {
            "refused": outcome == file.reason and not opened,
            "typed": outcome in ("taken", ImageInvalid.reason),
            "taken": outcome == "taken",
        }
        if not expected[file.expect]:
            wrong[file.name] = (outcome, opened)
    assert not wrong


def test_the_corpus_has_every_kind(corpus: list[Any]) -> None:
    names = {file.name for file in corpus}
    for format in ("png", "gif", "webp", "avif", "jpeg", "tiff"):
        assert any(name.startswith(f"bomb-{format}") for name in names)
    for format in ("png", "gif", "webp", "avif", "jpeg"):
        assert sum(name.startswith(f"truncated-{format}-") for name in names) == 100
        for family in ("giant", "length", "checksum", "polyglot", "metadata"):
            assert any(name.startswith(f"{family}-{format}") for name in names), (family, format)
        # JPEG has no frames.
        assert format == "jpeg" or any(name.startswith(f"frames-{format}") for name in names)
    assert any("svg" in name for name in names)


def test_a_server_answers_each_with_an_error_or_a_picture_and_little_memory(
    corpus: list[Any], served: Callable[..., Any]
) -> None:
    server = served("processing", WORKERS="1", FOCAL__FACES="false")
    stub = pb_grpc.ProcessingServiceStub(server.channel)

    def send(data: bytes) -> Any:
        spec = pb.ProcessRequest(spec=pb.ProcessSpec(operations=[pb.OPERATION_SANITIZE]))
        chunks = images.chunks(data, image_pb2.IMAGE_FORMAT_UNSPECIFIED, 0, 0)
        return stub.Process(chain([spec], (pb.ProcessRequest(chunk=chunk) for chunk in chunks)), timeout=60)

    for file in corpus:
        if file.family == "sound":
            assert server.outcome(send(file.data)) == "taken"
    # Of the files that were cut short, each tenth: they are all small, and the domain saw them all.
    files = [file for file in corpus if file.family != "truncated" or file.name.endswith("0-percent")]
    server.watch(files, send, lambda file: {file.reason} if file.reason else {"taken", ImageInvalid.reason})
