from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imajin.common.v1 import image_pb2
from imajin_servers.runtime.errors import ImageInvalid, ImageTooLarge
from imajin_servers.runtime.images import CHUNK_BYTES, Assembly, chunks


@settings(max_examples=40, deadline=None)
@given(size=st.one_of(st.integers(0, 5), st.integers(-3, 3).map(lambda d: 2 * CHUNK_BYTES + d)))
def test_an_image_survives_the_wire(size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    pieces = list(chunks(data, image_pb2.IMAGE_FORMAT_PNG, 3, 2, image_index=4))
    assembly = Assembly(limit=4 * CHUNK_BYTES)
    for piece in pieces:
        assembly.add(image_pb2.ImageChunk.FromString(piece.SerializeToString()))
    image = assembly.result()
    assert image.data == data
    assert image.info.sha256 == hashlib.sha256(data).digest()
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {piece.image_index for piece in pieces} == {4}


def test_an_image_over_the_limit_is_refused_before_its_bytes_come() -> None:
    first = image_pb2.ImageChunk(data=b"x", info=image_pb2.ImageInfo(size_bytes=101))
    with pytest.raises(ImageTooLarge) as refused:
        Assembly(limit=100).add(first)
    assert refused.value.metadata == {"what": "bytes", "limit": "100", "actual": "101"}


def test_an_image_that_lies_about_its_size_is_refused_at_the_limit() -> None:
    assembly = Assembly(limit=100)
    assembly.add(image_pb2.ImageChunk(data=b"x" * 60, info=image_pb2.ImageInfo(size_bytes=60)))
    with pytest.raises(ImageTooLarge):
        assembly.add(image_pb2.ImageChunk(data=b"x" * 60, offset=60))


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([image_pb2.ImageChunk(data=b"ab")], id="no last chunk"),
        pytest.param([image_pb2.ImageChunk(data=b"ab", offset=1, last=True)], id="a gap"),
        pytest.param(
            [image_pb2.ImageChunk(data=b"ab", last=True), image_pb2.ImageChunk(data=b"c", offset=2)],
            id="after the last",
        ),
        pytest.param(
            [image_pb2.ImageChunk(data=b"ab", last=True, info=image_pb2.ImageInfo(sha256=b"0" * 32))], id="wrong hash"
        ),
    ],
)
def test_a_broken_image_is_refused(pieces: list[image_pb2.ImageChunk]) -> None:
    assembly = Assembly(limit=100)
    with pytest.raises(ImageInvalid):
        for piece in pieces:
            assembly.add(piece)
        assembly.result()
