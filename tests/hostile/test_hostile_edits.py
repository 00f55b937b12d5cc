"""The corpus as what edits begin from, sent to a real server in a process of its own, whose memory is watched."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from imajin.common.v1 import image_pb2
from imajin.diffusion.v1 import diffusion_pb2 as pb
from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin_servers.runtime import images
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge

TYPED = {ImageInvalid.reason, ImageTooLarge.reason}
SMALL_ENOUGH = 1024 * 1024
"""Bytes that a mask may have."""


def outcomes(file: Any) -> set[str]:
    """What an edit may make of a file of the corpus: as in processing, but that no GIF is taken and nothing that moves."""
    if "gif-" in file.name and file.expect != "refused":
        return {ImageInvalid.reason}
    if file.family == "frames" or file.expect == "typed":
        return {"taken", *TYPED}
    return {ImageInvalid.reason, file.reason} if file.reason else {"taken"}


def test_edits_answer_each_with_an_error_or_a_picture_and_little_memory(
    corpus: list[Any], served: Callable[..., Any]
) -> None:
    # The limit of pixels that the corpus is made for; moderation and credentials are not what is looked at.
    settings = {"LEASE": "off", "MODERATION__CLASSIFIER": "off", "UPLOADS__MAX_PIXELS": "50000000"}
    off = {"CREDENTIALS__MANIFESTS": "false", "CREDENTIALS__MARKS": "false", "DEVICE": "cpu"}
    server = served("diffusion", **settings, **off)
    stub = diffusion_pb2_grpc.DiffusionServiceStub(server.channel)
    drawn = {"prompt": "a red boat", "steps": 1, "seed": 1, "width": 64, "height": 64}

    def send(data: bytes) -> Any:
        spec = pb.EditRequest(spec=pb.EditSpec(**drawn))
        chunks = images.chunks(data, image_pb2.IMAGE_FORMAT_UNSPECIFIED, 0, 0)
        return stub.Edit(chain([spec], (pb.EditRequest(chunk=chunk) for chunk in chunks)), timeout=60)

    sound = {file.name: file for file in corpus if file.family == "sound"}
    for name, file in sound.items():
        assert server.outcome(send(file.data)) == ("IMAGE_INVALID" if name == "sound-gif" else "taken")
    # Of the files that were cut short, one of each sort: the domain saw them all.
    made = [file for file in corpus if file.family != "sound"]
    files = [file for file in made if file.family != "truncated" or file.name.endswith("50-percent")]
    server.watch(files, send, outcomes)

    def mask(data: bytes) -> Any:
        spec = pb.EditSpec(**drawn, mask_data=data, image_data=sound["sound-png"].data)
        return stub.Edit(iter([pb.EditRequest(spec=spec)]), timeout=60)

    masks = [file for file in files if file.family == "bomb" and len(file.data) <= SMALL_ENOUGH]
    server.watch(masks, mask, outcomes)
    assert server.outcome(send(sound["sound-jpeg"].data)) == "taken"
