"""The crop planner, as properties: whatever the geometry, the cut keeps its promises."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imajin_servers.processing.crop import CHEEK_ROOM, HEAD_ROOM, Box, plan
from imajin_servers.runtime.errors import InvalidArgument

SIDES = st.integers(1, 16_383)
FRACTIONS = st.floats(0, 1)
HAIR = 1e-6


@st.composite
def faces_in(draw: st.DrawFn, width: int, height: int) -> list[Box]:
    boxes = []
    for _ in range(draw(st.integers(0, 5))):
        left, top = draw(st.floats(0, width * 0.95)), draw(st.floats(0, height * 0.95))
        boxes.append(
            Box(left, top, draw(st.floats(0.01, 1)) * (width - left), draw(st.floats(0.01, 1)) * (height - top))
        )
    return boxes


@given(SIDES, SIDES, SIDES, SIDES, FRACTIONS, FRACTIONS, st.data())
def test_a_cut_has_the_aspect_lies_inside_and_holds_the_focal_point(
    width: int, height: int, to_width: int, to_height: int, x: float, y: float, data: st.DataObject
) -> None:
    faces = data.draw(faces_in(width, height))
    cut = plan((width, height), (to_width, to_height), (x * width, y * height), faces, max_upscale=1e9)
    box = cut.box
    assert box.width / box.height == pytest.approx(to_width / to_height, rel=1e-9)
    assert box.left >= 0
    assert box.top >= 0
    assert box.right <= width * (1 + 1e-12)
    assert box.bottom <= height * (1 + 1e-12)
    assert box.left - HAIR <= x * width <= box.right + HAIR
    assert box.top - HAIR <= y * height <= box.bottom + HAIR
    # The largest cut of that shape: one side is the source's.
    assert box.width == pytest.approx(width) or box.height == pytest.approx(height)
    assert cut.upscale == pytest.approx(to_width / box.width)


@given(SIDES, SIDES, SIDES, SIDES, st.floats(1, 16))
def test_a_cut_is_never_enlarged_beyond_the_limit(
    width: int, height: int, to_width: int, to_height: int, limit: float
) -> None:
    needed = max(to_width / width, to_height / height)
    assume(needed > limit * (1 + 1e-6) or needed < limit)
    if needed > limit:
        with pytest.raises(InvalidArgument) as raised:
            plan((width, height), (to_width, to_height), (0, 0), max_upscale=limit)
        assert raised.value.violations[0].field == "max_upscale"
        return
    cut = plan((width, height), (to_width, to_height), (0, 0), max_upscale=limit)
    assert cut.upscale == pytest.approx(needed)


@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_a_face_that_fits_is_kept_whole_and_with_room_where_there_is_room(
    width: int, height: int, to_width: int, to_height: int, data: st.DataObject
) -> None:
    faces = data.draw(faces_in(width, height))
    assume(faces)
    face = faces[0]
    cut = plan((width, height), (to_width, to_height), face.center, faces, max_upscale=1e9).box
    hair = HAIR * max(width, height)
    if face.width <= cut.width:
        assert cut.left - hair <= face.left
        assert face.right <= cut.right + hair
    if face.height <= cut.height:
        assert cut.top - hair <= face.top
        assert face.bottom <= cut.bottom + hair
    alone = plan((width, height), (to_width, to_height), face.center, [face], max_upscale=1e9).box
    if face.height * (1 + HEAD_ROOM + CHEEK_ROOM) <= alone.height:
        assert alone.top - hair <= max(0, face.top - HEAD_ROOM * face.height)
        assert alone.bottom + hair >= min(height, face.bottom + CHEEK_ROOM * face.height)


@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_faces_that_fit_together_are_all_whole(
    width: int, height: int, to_width: int, to_height: int, data: st.DataObject
) -> None:
    faces = data.draw(faces_in(width, height))
    assume(faces)
    cut = plan((width, height), (to_width, to_height), faces[0].center, faces, max_upscale=1e9).box
    hair = HAIR * max(width, height)
    if max(face.right for face in faces) - min(face.left for face in faces) <= cut.width - hair:
        assert all(cut.left - hair <= face.left and face.right <= cut.right + hair for face in faces)
    if max(face.bottom for face in faces) - min(face.top for face in faces) <= cut.height - hair:
        assert all(cut.top - hair <= face.top and face.bottom <= cut.bottom + hair for face in faces)


@given(SIDES, SIDES, SIDES, SIDES, st.data())
def test_a_subject_that_fits_is_whole_and_never_costs_a_face(
    width: int, height: int, to_width: int, to_height: int, data: st.DataObject
) -> None:
    faces = data.draw(faces_in(width, height))
    assume(len(faces) > 1)
    *faces, subject = faces
    size, hair = (width, height), HAIR * max(width, height)
    alone = plan(size, (to_width, to_height), subject.center, (), 1e9, [subject]).box
    if subject.width <= alone.width:
        assert alone.left - hair <= subject.left
        assert subject.right <= alone.right + hair
    if subject.height <= alone.height:
        assert alone.top - hair <= subject.top
        assert subject.bottom <= alone.bottom + hair
    cut = plan(size, (to_width, to_height), faces[0].center, faces, 1e9, [subject]).box
    if faces[0].width <= cut.width:
        assert cut.left - hair <= faces[0].left
        assert faces[0].right <= cut.right + hair


def test_two_faces_that_fit_together_are_both_kept() -> None:
    faces = [Box(300, 200, 100, 100), Box(700, 220, 80, 80)]
    cut = plan((1500, 1000), (1, 1), (350, 250), faces).box
    assert cut.left <= 300
    assert cut.right >= 780


def test_of_two_faces_too_far_apart_the_first_is_kept_whole() -> None:
    faces = [Box(100, 200, 100, 100), Box(1300, 200, 100, 100)]
    cut = plan((1500, 1000), (1, 2), (150, 250), faces).box
    assert cut.left <= 100 - CHEEK_ROOM * 100 + 1e-9
    assert cut.right < 1300


def test_without_faces_the_focal_point_is_in_the_middle_where_the_image_is_wide_enough() -> None:
    cut = plan((2000, 1000), (1, 1), (900, 500)).box
    assert cut == Box(400, 0, 1000, 1000)


def test_a_focal_point_at_the_edge_moves_the_cut_to_the_edge() -> None:
    assert plan((2000, 1000), (1, 1), (2000, 500)).box == Box(1000, 0, 1000, 1000)
    assert plan((2000, 1000), (1, 1), (0, 500)).box == Box(0, 0, 1000, 1000)
