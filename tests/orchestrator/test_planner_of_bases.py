"""The planner against brute force, and the plans that the documentation promises."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.orchestrator.sizes.named import WantedSize, wanted
from imajin_servers.orchestrator.sizes.planning import Base, Plan, named_bases, plan
from imajin_servers.orchestrator.sizes.planning import crop as cut
from imajin_servers.runtime.errors import ImajinError, InvalidArgument, NotFound
from imajin_servers.runtime.sizes import SIZES

SDXL = [(1216, 832), (1024, 1024), (832, 1216)]
EMBEDDED = [(192, 128), (160, 160), (128, 192)]

edges = st.integers(64, 2048)
base_sizes = st.lists(st.tuples(edges, edges), min_size=1, max_size=5, unique=True)
sizes = st.lists(st.tuples(st.integers(16, 2048), st.integers(16, 2048)), min_size=1, max_size=6, unique=True)


def named(pairs: list[tuple[int, int]]) -> list[WantedSize]:
    return [WantedSize(f"{width}x{height}", width, height) for width, height in pairs]


def fits(size: WantedSize, base: Base, max_upscale: float, min_kept: float) -> bool:
    """By the geometry of the cut itself: the widest rectangle of the size's shape inside the base."""
    cut_width = min(base.width, base.height * size.width / size.height)
    cut_height = min(base.height, base.width * size.height / size.width)
    kept = cut_width * cut_height / (base.width * base.height)
    return size.width / cut_width <= max_upscale * (1 + 1e-6) and kept >= min_kept * (1 - 1e-6)


def fewest(wanted_sizes: list[WantedSize], bases: list[Base], max_upscale: float, min_kept: float) -> int | None:
    subsets = chain.from_iterable(combinations(bases, count) for count in range(1, len(bases) + 1))
    for subset in subsets:
        if all(any(fits(size, base, max_upscale, min_kept) for base in subset) for size in wanted_sizes):
            return len(subset)
    return None


@given(sizes, base_sizes, st.floats(1, 16), st.floats(0.05, 1))
def test_plans_are_complete_within_the_limits_and_minimal(
    size_pairs: list[tuple[int, int]], base_pairs: list[tuple[int, int]], max_upscale: float, min_kept: float
) -> None:
    requested, bases = named(size_pairs), named_bases(base_pairs)
    try:
        made = plan(requested, bases, max_upscale, min_kept)
    except InvalidArgument:
        # Either a size really fits no base, or only within the slack of the comparison.
        assert fewest(requested, bases, max_upscale * (1 - 1e-6), min(min_kept * (1 + 1e-6), 1)) is None
        return
    assert [crop.size for crop in made.crops] == requested
    assert {crop.base for crop in made.crops} == set(made.bases)
    for crop in made.crops:
        assert fits(crop.size, crop.base, max_upscale, min_kept)
        assert 0 < crop.kept <= 1
        others = [cut(crop.size, base) for base in made.bases if fits(crop.size, base, max_upscale, min_kept)]
        assert crop.kept == pytest.approx(max(other.kept for other in others))
    tight = fewest(requested, bases, max_upscale * (1 - 1e-6), min(min_kept * (1 + 1e-6), 1))
    loose = fewest(requested, bases, max_upscale * (1 + 1e-6), min_kept * (1 - 1e-6))
    assert loose is not None
    assert loose <= len(made.bases) <= (tight or len(bases))


@given(sizes, base_sizes, st.floats(1, 16), st.floats(0.05, 1), st.randoms())
def test_order_of_the_request_changes_nothing_but_the_order(
    size_pairs: list[tuple[int, int]],
    base_pairs: list[tuple[int, int]],
    max_upscale: float,
    min_kept: float,
    random: object,
) -> None:
    requested, bases = named(size_pairs), named_bases(base_pairs)
    shuffled = list(requested)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def outcome(order: list[WantedSize]) -> object:
        try:
            return {(crop.size, crop.base) for crop in plan(order, bases, max_upscale, min_kept).crops}
        except InvalidArgument:
            return "infeasible"

    assert outcome(requested) == outcome(shuffled)


@given(sizes, base_sizes)
def test_of_equally_few_bases_the_ones_that_keep_most(
    size_pairs: list[tuple[int, int]], base_pairs: list[tuple[int, int]]
) -> None:
    requested, bases = named(size_pairs), named_bases(base_pairs)
    made = plan(requested, bases, 1e6, 0.0001)
    assert len(made.bases) == 1
    kept = [
        sum(
            min(s.width / s.height, b.width / b.height) / max(s.width / s.height, b.width / b.height) for s in requested
        )
        for b in bases
    ]
    assert sum(crop.kept for crop in made.crops) == pytest.approx(max(kept))


def test_of_bases_that_keep_as_much_the_one_that_is_enlarged_least() -> None:
    landscapes, portrait = [(600, 400), (1200, 800), (900, 600)], (400, 600)
    made = plan(named([(1500, 1000), (300, 450)]), named_bases([*landscapes, portrait]), 4.0, 0.5)
    assert [(base.width, base.height) for base in made.bases] == [(1200, 800), portrait]


def planned(names: list[str], bases: list[tuple[int, int]], max_upscale: float) -> Plan:
    return plan(wanted(names, SIZES), named_bases(bases), max_upscale, 0.55)


@pytest.mark.parametrize(("bases", "max_upscale"), [(SDXL, 2.0), (EMBEDDED, 16.0)])
def test_the_documented_sizes_need_landscape_and_portrait(bases: list[tuple[int, int]], max_upscale: float) -> None:
    assert [base.name for base in planned(["hero", "og", "sidebar"], bases, max_upscale).bases] == [
        "landscape",
        "portrait",
    ]
    assert len(planned(["hero", "og", "sidebar", "square"], bases, max_upscale).bases) == 2


@pytest.mark.parametrize(("bases", "max_upscale"), [(SDXL, 2.0), (EMBEDDED, 16.0)])
def test_every_built_in_size_can_be_made(bases: list[tuple[int, int]], max_upscale: float) -> None:
    assert len(planned(list(SIZES), bases, max_upscale).crops) == len(SIZES)


def test_the_canvas_that_bases_share_is_what_all_of_them_fit_into() -> None:
    assert planned(["hero", "sidebar"], SDXL, 2.0).canvas == (1216, 1216)
    assert planned(["hero"], SDXL, 2.0).canvas == (1216, 832)


def test_upscaling_beyond_the_limit_says_what_would_fit() -> None:
    with pytest.raises(InvalidArgument, match=r"hero.*enlarged 10.00 times.*limit is 4.*768x432") as refused:
        plan([WantedSize("hero", 1920, 1080)], named_bases([(192, 120)]), 4.0, 0.55)
    assert refused.value.metadata["largest"] == "768x432"
    assert [violation.field for violation in refused.value.violations] == ["sizes"]
    plan([WantedSize("hero", 768, 432)], named_bases([(192, 120)]), 4.0, 0.55)
    with pytest.raises(InvalidArgument, match=r"from the landscape-256x160 base of 256x160.*1024x576"):
        plan([WantedSize("hero", 1920, 1080)], named_bases([(192, 120), (256, 160)]), 4.0, 0.55)


def test_a_shape_that_loses_too_much_says_which_shapes_fit() -> None:
    with pytest.raises(InvalidArgument, match=r"728x90.*keep 0.18.*limit is 0.55.*0.38:1 and 2.66:1") as refused:
        plan([WantedSize("728x90", 728, 90)], named_bases(SDXL), 2.0, 0.55)
    assert refused.value.metadata["kept"] == "0.1807"


def test_a_model_without_bases_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no base sizes"):
        plan([WantedSize("a", 10, 10)], [], 2.0, 0.5)


def test_bases_of_one_shape_keep_names_of_their_own() -> None:
    names = [base.name for base in named_bases([(1216, 832), (1344, 768), (1024, 1024), (1216, 832)])]
    assert names == ["landscape", "landscape-1344x768", "square"]


def test_free_sizes_are_taken_in_either_case() -> None:
    assert wanted(["800x600", "16X8192"], {}) == [WantedSize("800x600", 800, 600), WantedSize("16X8192", 16, 8192)]


@given(st.text(max_size=64))
def test_any_text_is_a_size_or_a_typed_refusal(text: str) -> None:
    try:
        (size,) = wanted([text], SIZES)
    except (InvalidArgument, NotFound):
        return
    assert 16 <= size.width <= 8192
    assert 16 <= size.height <= 8192


@pytest.mark.parametrize(
    ("text", "reason"),
    [("0x0", "INVALID_ARGUMENT"), ("15x100", "INVALID_ARGUMENT"), ("100x8193", "INVALID_ARGUMENT"),
     ("9" * 30 + "x10", "INVALID_ARGUMENT"), ("billboard", "NOT_FOUND"), ("-1x5", "NOT_FOUND"), ("١٠٠x١٠٠", "NOT_FOUND")],
)  # fmt: skip
def test_what_is_wrong_with_a_size_is_said(text: str, reason: str) -> None:
    with pytest.raises(ImajinError, match=text[:4] if text[0] != "-" else "-1x5") as refused:
        wanted(["hero", text], SIZES)
    assert refused.value.reason == reason
    if reason == "NOT_FOUND":
        assert "hero" in refused.value.metadata["known"]
    else:
        assert refused.value.violations[0].field == "sizes[1]"
