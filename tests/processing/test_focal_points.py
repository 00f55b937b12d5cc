"""The focal point: real faces in real photographs by the real detector, then what stands out, then the centre."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from imajin_servers.processing.crop import Box, plan
from imajin_servers.processing.focal import litert, model
from imajin_servers.processing.focal.faces import OVERLAP, Faces, NoFaces, face_finder, in_company, overlap, starts
from imajin_servers.processing.focal.litert import LitertLooker
from imajin_servers.processing.focal.locate import given as given_point
from imajin_servers.processing.focal.locate import group_center, locate, ranked
from imajin_servers.processing.focal.point import Face, FaceFinder
from imajin_servers.processing.focal.subject import whole_subject

FACE = Box(175, 65, 100, 105)
"""Where the face is in the 512 px photograph of the astronaut, by eye."""


@pytest.fixture(scope="module")
def finder() -> Iterator[FaceFinder]:
    found = Faces(LitertLooker(), 0.6)
    yield found
    found.close()


def placed(astronaut: Image.Image, size: tuple[int, int], scale: float, *places: tuple[int, int]) -> Image.Image:
    """The portrait, scaled, at places of a large plain image."""
    image = Image.new("RGB", size, (90, 110, 130))
    side = round(512 * scale)
    for place in places:
        image.paste(astronaut.resize((side, side), Image.Resampling.LANCZOS), place)
    return image


def test_a_face_is_found_where_it_is(finder: FaceFinder, astronaut: Image.Image) -> None:
    focus = locate(astronaut, finder)
    assert focus.method == "face"
    assert focus.confidence > 0.7
    assert overlap(focus.boxes[0], FACE) > 0.5
    assert FACE.left < focus.x * 512 < FACE.right
    assert FACE.top < focus.y * 512 < FACE.bottom


def test_a_small_face_in_a_large_image_is_found_by_a_close_look(finder: FaceFinder, astronaut: Image.Image) -> None:
    image = placed(astronaut, (3000, 2000), 1.0, (2300, 1400))
    focus = locate(image, finder)
    assert focus.method == "face"
    wanted = Box(2300 + FACE.left, 1400 + FACE.top, FACE.width, FACE.height)
    assert overlap(focus.boxes[0], wanted) > 0.4


def test_a_face_across_a_seam_of_two_looks_is_one_face(finder: FaceFinder, astronaut: Image.Image) -> None:
    image = placed(astronaut, (1200, 512), 1.0, (512 - 225, 0))
    assert len(finder.find(image)) == 1


def test_of_several_faces_the_larger_and_more_central_leads(finder: FaceFinder, astronaut: Image.Image) -> None:
    image = placed(astronaut, (1000, 600), 1.0, (300, 60))
    image.paste(astronaut.resize((280, 280), Image.Resampling.LANCZOS), (0, 320))
    focus = locate(image, finder)
    assert focus.method == "face"
    assert len(focus.boxes) == 2
    assert overlap(focus.boxes[0], Box(300 + FACE.left, 60 + FACE.top, FACE.width, FACE.height)) > 0.5
    cut = plan(image.size, (400, 400), (focus.x * 1000, focus.y * 600), focus.boxes).box
    assert cut.left <= focus.boxes[0].left
    assert cut.right >= focus.boxes[0].right


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # The corner costs a half, and no more.
        pytest.param(Face(Box(0, 0, 90, 90), 0.9), Face(Box(475, 275, 50, 50), 0.9), id="larger"),
        pytest.param(Face(Box(475, 275, 50, 50), 0.9), Face(Box(0, 0, 55, 55), 0.9), id="more-central"),
        pytest.param(Face(Box(400, 300, 50, 50), 0.9), Face(Box(550, 250, 50, 50), 0.6), id="surer"),
    ],
)
def test_a_face_leads_by_size_by_place_and_by_how_sure_it_is(first: Face, second: Face) -> None:
    assert ranked([second, first], (1000, 600)) == [first, second]


def test_the_centre_of_a_group_is_nearest_to_the_face_that_leads() -> None:
    large, small = Face(Box(400, 200, 100, 100), 0.9), Face(Box(600, 200, 50, 50), 0.9)
    x, y = group_center([large, small], (1000, 600))
    assert large.box.center[0] < x < (large.box.center[0] + small.box.center[0]) / 2
    assert small.box.center[1] < y < large.box.center[1]


def test_two_faces_far_apart_do_not_draw_the_eye_to_the_gap_between_them(
    finder: FaceFinder, astronaut: Image.Image
) -> None:
    image = placed(astronaut, (1600, 512), 1.0, (0, 0))
    image.paste(astronaut.resize((480, 480), Image.Resampling.LANCZOS), (1120, 16))
    focus = locate(image, finder)
    assert len(focus.boxes) == 2
    assert focus.boxes[0].left <= focus.x * 1600 <= focus.boxes[0].right


def test_a_crop_of_a_portrait_keeps_the_whole_face_where_the_centre_cuts_it(
    finder: FaceFinder, astronaut: Image.Image
) -> None:
    image = placed(astronaut, (1500, 512), 1.0, (0, 0))
    focus = locate(image, finder)
    face = focus.boxes[0]
    for size in ((300, 600), (500, 500), (1200, 300)):
        cut = plan(image.size, size, (focus.x * 1500, focus.y * 512), focus.boxes).box
        assert cut.left <= face.left
        assert cut.right >= face.right
        assert cut.top <= face.top
        assert cut.bottom >= face.bottom


def test_a_given_point_wins_and_faces_are_still_known(finder: FaceFinder, astronaut: Image.Image) -> None:
    focus = given_point(astronaut, finder, 0.1, 0.9)
    assert (focus.x, focus.y, focus.method, focus.confidence) == (0.1, 0.9, "given", 1.0)
    assert len(focus.boxes) == 1


def test_a_less_sure_face_counts_beside_a_sure_one_of_its_size() -> None:
    sure, profile, tiny = (
        Face(Box(0, 0, 90, 100), 0.9),
        Face(Box(300, 0, 80, 90), 0.52),
        Face(Box(500, 0, 20, 20), 0.52),
    )
    assert in_company([sure, profile, tiny], 0.6) == [sure, profile]
    assert in_company([profile, tiny], 0.6) == []
    assert in_company([Face(sure.box, 0.7), profile], 0.6) == [Face(sure.box, 0.7)]


class Suspicious:
    """A detector that sees one thing, and only where it looks at a part."""

    def __init__(self, seen: Face, whole: tuple[int, int]) -> None:
        self.seen = seen
        self.whole = whole

    def look(self, image: Image.Image, min_score: float) -> list[Face]:
        return [] if image.size == self.whole else [self.seen]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("side", "score", "taken"), [(200, 0.65, False), (200, 0.85, True), (60, 0.65, True)])
def test_what_is_large_and_not_seen_in_the_whole_must_be_surer(side: int, score: float, taken: bool) -> None:
    looker = Suspicious(Face(Box(10, 10, side, side), score), (1000, 400))
    assert bool(Faces(looker, 0.6).find(Image.new("RGB", (1000, 400)))) == taken


def test_what_is_sharp_is_the_subject_and_not_a_blurred_light() -> None:
    pixels = np.full((300, 500, 3), 60.0)
    y, x = np.mgrid[0:300, 0:500]
    pixels += 150 * np.exp(-(((x - 110) / 80) ** 2 + ((y - 150) / 80) ** 2))[:, :, None]
    pixels[100:200, 350:450] += np.random.default_rng(3).normal(60, 50, (100, 100, 1))
    focus = locate(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), NoFaces())
    assert focus.method == "saliency"
    assert focus.x > 0.6


@pytest.mark.parametrize("place", [(80, 60), (300, 60), (80, 260), (300, 260), (200, 160)])
def test_without_a_face_what_stands_out_is_the_focal_point(place: tuple[int, int]) -> None:
    image = Image.new("RGB", (480, 400), (180, 200, 190))
    noise = np.random.default_rng(7).normal(0, 6, (400, 480, 3))
    ImageDraw.Draw(image).ellipse((place[0], place[1], place[0] + 90, place[1] + 90), fill=(190, 40, 40))
    image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    focus = locate(image, NoFaces())
    assert focus.method == "saliency"
    assert focus.x * 480 == pytest.approx(place[0] + 45, abs=25)
    assert focus.y * 400 == pytest.approx(place[1] + 45, abs=25)
    assert overlap(focus.boxes[0], Box(place[0], place[1], 90, 90)) > 0.4
    assert 0.3 < focus.confidence <= 1


def test_sky_above_and_grass_below_are_background() -> None:
    image = Image.new("RGB", (600, 400), (120, 170, 230))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 250, 600, 400), fill=(70, 140, 60))
    draw.ellipse((420, 180, 500, 280), fill=(240, 220, 60))
    focus = locate(image, NoFaces())
    assert focus.method == "saliency"
    assert focus.x * 600 == pytest.approx(460, abs=40)


def figure(size: tuple[int, int], box: Box, ground: tuple[int, int, int]) -> Image.Image:
    """A figure with a head, a body and legs that fills `box`, on a ground that grows lighter downwards."""
    shade = np.linspace(0, 30, size[1])[:, None, None] + np.zeros((1, size[0], 1))
    image = Image.fromarray((shade + ground).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    x, y, w, h = box.left, box.top, box.width, box.height
    draw.ellipse((x + w * 0.2, y, x + w * 0.8, y + h * 0.4), fill=(250, 200, 60))
    draw.rectangle((x, y + h * 0.35, x + w, y + h * 0.8), fill=(200, 60, 50))
    draw.rectangle((x + w * 0.2, y + h * 0.8, x + w * 0.8, y + h), fill=(60, 60, 70))
    return image


@pytest.mark.parametrize("ground", [(220, 225, 220), (250, 170, 200), (30, 60, 160)])
@pytest.mark.parametrize("place", [(20, 50), (330, 20), (200, 90)])
def test_the_box_of_what_stands_apart_is_measured_whatever_the_background(
    ground: tuple[int, int, int], place: tuple[int, int]
) -> None:
    box = Box(*place, 120, 200)
    found = whole_subject(figure((480, 320), box, ground))
    assert found is not None
    assert overlap(found.boxes[0], box) > 0.8


def test_a_crop_keeps_what_stands_apart_whole_where_it_fits_and_else_its_upper_part() -> None:
    box = Box(300, 60, 170, 230)
    image = figure((480, 320), box, (235, 230, 225))
    focus = locate(image, NoFaces())
    assert focus.method == "saliency"
    assert focus.subjects

    def cut(size: tuple[int, int]) -> Box:
        return plan(image.size, size, (focus.x * 480, focus.y * 320), (), 16, focus.subjects).box

    for size in ((240, 320), (100, 160), (480, 300)):
        assert cut(size).left <= box.left + 4
        assert cut(size).right >= box.right - 4
        assert cut(size).top <= box.top + 4
        assert cut(size).bottom >= box.bottom - 4
    wide = cut((400, 100))
    assert wide.top <= box.top + 0.2 * box.height
    assert wide.bottom >= box.top + 0.4 * box.height


def test_of_two_things_a_crop_that_cannot_keep_both_keeps_the_main_one_whole() -> None:
    image = Image.new("RGB", (600, 300), (230, 225, 235))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 260, 240), fill=(60, 170, 90))
    draw.ellipse((400, 80, 540, 240), fill=(220, 60, 120))
    focus = locate(image, NoFaces())
    assert len(focus.subjects) == 2
    assert overlap(focus.subjects[0], Box(60, 60, 200, 180)) > 0.8
    assert overlap(focus.subjects[1], Box(60, 60, 480, 180)) > 0.8
    both, one = (
        plan(image.size, size, (focus.x * 600, focus.y * 300), (), 16, focus.subjects).box
        for size in ((500, 300), (300, 300))
    )
    assert both.left <= 64
    assert both.right >= 536
    assert one.left <= 64
    assert one.right >= 256


def test_a_cut_smaller_than_the_subject_shows_nothing_beside_it() -> None:
    subject = Box(100, 40, 200, 120)
    cut = plan((400, 200), (190, 200), (290, 60), (), 16, [subject]).box
    assert cut.left >= subject.left
    assert cut.right <= subject.right


class Doubtful(NoFaces):
    """Finds no face, and suspects some."""

    def __init__(self, *suspects: Box) -> None:
        self.suspects = suspects

    def suspect(self, image: Image.Image) -> list[Face]:
        return [Face(box, 0.4) for box in self.suspects]


def test_what_looks_somewhat_like_a_face_says_where_the_head_of_a_subject_is() -> None:
    image = figure((480, 320), Box(100, 60, 200, 200), (235, 230, 225))
    without, head = locate(image, NoFaces()), locate(image, Doubtful(Box(110, 80, 60, 60)))
    assert head.method == "saliency"
    assert head.x < without.x
    # Outside of the subject, in its lowest part, and tiny: no head of it.
    for box in (Box(380, 80, 60, 60), Box(180, 215, 40, 40), Box(200, 80, 8, 8)):
        assert locate(image, Doubtful(box)) == without


def test_a_scene_that_reaches_every_border_has_no_subject_apart() -> None:
    noise = np.random.default_rng(5).integers(0, 255, (20, 30, 3), np.uint8)
    assert whole_subject(Image.fromarray(noise).resize((480, 320), Image.Resampling.BICUBIC)) is None


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_a_subject_lies_in_its_image(width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), rng.integers(0, 255, 3), np.uint8)
    pixels[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = rng.integers(0, 255, 3)
    found = whole_subject(Image.fromarray(pixels))
    if found is not None:
        assert 0 <= found.boxes[0].left < found.boxes[0].right <= width
        assert 0 <= found.boxes[0].top < found.boxes[0].bottom <= height
        assert 0 < found.clear <= 1


def test_the_real_detector_suspects_more_than_it_finds(finder: FaceFinder, astronaut: Image.Image) -> None:
    small = astronaut.resize((60, 60)).resize((512, 512))
    assert len(finder.suspect(small)) >= len(finder.find(small))
    assert finder.suspect(astronaut)


def test_what_is_transparent_is_no_subject() -> None:
    image = Image.new("RGBA", (300, 200), (255, 0, 255, 0))
    ImageDraw.Draw(image).ellipse((220, 120, 280, 180), fill=(250, 250, 250, 255))
    focus = locate(image, NoFaces())
    assert focus.x * 300 == pytest.approx(250, abs=20)


@pytest.mark.parametrize("size", [(1, 1), (400, 1), (1, 400), (300, 300)])
def test_where_nothing_stands_out_the_centre_is_the_focal_point(size: tuple[int, int]) -> None:
    focus = locate(Image.new("RGB", size, (90, 120, 30)), NoFaces())
    assert (focus.x, focus.y, focus.method) == (0.5, 0.5, "center")
    assert focus.boxes == ()


def test_a_detector_that_cannot_be_loaded_leaves_a_server_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> bytes:
        raise ImportError("No module named ai_edge_litert")

    monkeypatch.setattr(litert, "model", missing)
    finder = face_finder(0.6)
    assert finder.find(Image.new("RGB", (10, 10))) == ()


def test_a_model_file_that_was_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SHA256", "0" * 64)
    with pytest.raises(OSError, match="SHA-256"):
        model.model()


def test_this_host_finds_faces(astronaut: Image.Image) -> None:
    finder = face_finder(0.6)
    assert len(finder.find(astronaut)) == 1
    finder.close()


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_squares_cover_an_axis_and_overlap(length: int, side: int) -> None:
    places = starts(length, side)
    assert places[0] == 0
    assert places[-1] + side >= length
    assert all(later - earlier <= side * (1 - OVERLAP) + 1 for earlier, later in pairwise(places))
