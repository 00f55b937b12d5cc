"""The crop planner, as properties: whatever the geometry, the cut keeps its promises."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imajin_servers.processing.crop import CHEEK_ROOM, EYE_LINE, HEAD_ROOM, TRIM, Box, plan
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


def test_a_face_has_its_middle_a_little_above_that_of_an_upright_cut() -> None:
    cut = plan((1000, 4000), (1, 1), (500, 2000), [Box(450, 1950, 100, 100)]).box
    assert (2000 - cut.top) / cut.height == pytest.approx(EYE_LINE)
    beside = plan((4000, 1000), (1, 1), (2000, 500), [Box(1950, 450, 100, 100)]).box
    assert (2000 - beside.left) / beside.width == pytest.approx(0.5)


def test_company_loses_a_little_at_its_edge_rather_than_being_left_out() -> None:
    main, other = Box(0, 0, 400, 400), Box(620, 0, 400, 400)
    nearly = plan((4000, 1000), (1, 1), (200, 500), [main, other]).box
    assert nearly.left == 0
    # The second face needs 1020 of 1000 pixels: cut by 20, less than TRIM of its width, it is in.
    assert 1020 - TRIM * 400 < nearly.right < 1020
    outside = Box(700, 0, 400, 400)
    left_out = plan((4000, 1000), (1, 1), (200, 500), [main, outside]).box
    assert (left_out.left, left_out.right) == (0, 1000)
    middle = plan((4000, 1000), (1, 1), (2200, 500), [Box(2000, 0, 400, 400), Box(2700, 0, 400, 400)]).box
    assert middle.center[0] == pytest.approx(2200)


def test_the_most_important_face_is_never_trimmed() -> None:
    main, other = Box(1000, 0, 500, 400), Box(1520, 0, 500, 400)
    cut = plan((4000, 1000), (1, 1), (1250, 500), [main, other]).box
    assert cut.left <= 1000
    assert cut.right >= 1500


def test_room_that_does_not_suffice_is_shared_between_the_sides_as_they_want_it() -> None:
    # 1000 pixels for a face of 900: of 450 above and 135 below, the 100 that are left give 77 and 23.
    cut = plan((1000, 4000), (1, 1), (500, 2000), [Box(450, 1550, 100, 900)]).box
    assert 1550 - cut.top == pytest.approx(100 * HEAD_ROOM / (HEAD_ROOM + CHEEK_ROOM))


def test_a_face_has_room_on_both_sides_where_there_is_room() -> None:
    cut = plan((4000, 1000), (1, 1), (1500, 500), [Box(1450, 0, 800, 1000)]).box
    assert cut.left <= 1450 - CHEEK_ROOM / 2 * 800
    assert cut.right >= 2250 + CHEEK_ROOM / 2 * 800


def test_a_cut_smaller_than_a_subject_lies_within_it_and_as_near_to_its_focal_point_as_that_allows() -> None:
    subject = Box(1000, 0, 1500, 1000)
    for focal, left in ((1010, 1000), (1700, 1200), (2490, 1500)):
        cut = plan((4000, 1000), (1, 1), (focal, 500), (), subjects=[subject]).box
        assert (cut.left, cut.right) == pytest.approx((left, left + 1000))


def test_what_goes_beyond_the_image_asks_for_no_room_there() -> None:
    cut = plan((4000, 1000), (1, 1), (50, 500), [Box(-200, 0, 300, 400)]).box
    assert cut.left == 0


def test_a_size_that_needs_exactly_the_limit_is_made() -> None:
    assert plan((100, 100), (800, 800), (50, 50), max_upscale=8).upscale == pytest.approx(8)
