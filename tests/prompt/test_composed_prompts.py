"""Prompts as the rules compose them, whoever chooses."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.prompt.classification import Classifier, Query
from imajin_servers.prompt.composition import Brief, Prompt, adopted, brief_of, composed
from imajin_servers.prompt.composition.subject import LONGEST, subject_of
from imajin_servers.prompt.generation import generation_of
from imajin_servers.runtime.sizes import SIZES


@pytest.fixture(scope="module")
def rules_of_text() -> Classifier:
    return Classifier()


def brief(
    classifier: Classifier, query: Query, *, count: int = 3, seed: int = 1, age: str = "", gender: str = ""
) -> Brief:
    return brief_of(query, classifier.classify(query), age=age, gender=gender, count=count, seed=seed)


def prompts(settled: Brief, seed: int = 0) -> list[Prompt]:
    chance = random.Random(seed)
    return [composed(settled, index, shot.drawn(chance)) for index, shot in enumerate(settled.shots)]


@pytest.mark.parametrize(
    ("description", "subject"),
    [
        ("a happy panda eating watermelon", "a happy panda eating watermelon"),
        ("Please draw me a picture of a red bicycle, no people, seed 42", "a red bicycle"),
        ("I want an image of two cats; one black.", "two cats, one black"),
        ("Ein Bild von einem Hund", "einem Hund"),
        ("a dog 1920x1080", "a dog"),
        ("着物を着た女性", "着物を着た女性"),
        ("a cat\u202e\x07\n on   a mat", "a cat on a mat"),
        ("👩‍🚀 in space", "👩‍🚀 in space"),
        ("no people", "no people"),
        ("???", "???"),
        ("a beach without any tourists and with palms", "a beach and with palms"),
    ],
)
def test_the_subject_is_what_the_user_said(description: str, subject: str) -> None:
    assert subject_of(description).text == subject


def test_what_is_to_be_left_out_goes_into_the_negative_prompt(classifier: Classifier) -> None:
    settled = brief(classifier, Query("a quiet beach with no people, no umbrellas"))
    assert settled.subject.text == "a quiet beach"
    assert settled.negative[:2] == ("people", "umbrellas")


@given(description=st.text(min_size=1, max_size=400), count=st.integers(1, 8), seed=st.integers(0, 2**32 - 1))
def test_any_description_gives_that_many_different_prompts(
    rules_of_text: Classifier, description: str, count: int, seed: int
) -> None:
    settled = brief(rules_of_text, Query(description), count=count, seed=seed)
    made = prompts(settled, seed)
    assert len({prompt.prompt for prompt in made}) == len({prompt.name for prompt in made}) == count
    for prompt in made:
        assert prompt.prompt.startswith(settled.subject.text)
        assert len(settled.subject.text) <= LONGEST
        assert 0 < len(prompt.name) <= 60
        assert prompt.prompt.isprintable()
        assert prompt.negative


def test_a_seed_gives_the_same_prompts_again(classifier: Classifier) -> None:
    query = Query("a fisherman in Portugal")
    assert prompts(brief(classifier, query, seed=5)) == prompts(brief(classifier, query, seed=5))
    assert prompts(brief(classifier, query, seed=5)) != prompts(brief(classifier, query, seed=6))


def test_filters_reach_every_prompt(classifier: Classifier) -> None:
    query = Query(
        "a family at dinner",
        region="Japan",
        period="1920s",
        season="autumn",
        style="watercolor",
        audience="children",
        tags=("grandparents",),
    )
    for prompt in prompts(brief(classifier, query, age="30s", gender="woman")):
        for words in ("Japanese", "1920s", "autumn leaves", "watercolor", "grandparents", "30s woman"):
            assert words in prompt.prompt
        assert "violence" in prompt.negative


def test_filters_that_the_rules_do_not_know_reach_the_prompts_too(classifier: Classifier) -> None:
    query = Query("a harbour", region="Atlantis", period="age of glass", season="fog season", style="cyanotype")
    for prompt in prompts(brief(classifier, query)):
        for words in ("Atlantis", "age of glass", "fog season", "cyanotype"):
            assert words in prompt.prompt


def test_nothing_that_is_asked_for_is_forbidden(classifier: Classifier) -> None:
    settled = brief(classifier, Query("a Korean actor wearing a kimono"))
    assert "kimono" not in settled.negative


def test_what_the_rules_avoid_is_in_the_negative_prompt(classifier: Classifier) -> None:
    assert "deity as decoration" in prompts(brief(classifier, Query("Diwali at home")))[0].negative


def test_a_place_that_the_user_names_is_not_joined_by_another(classifier: Classifier) -> None:
    assert all(not shot.setting for shot in brief(classifier, Query("a cat on the moon")).shots)
    assert all(shot.setting for shot in brief(classifier, Query("a cat")).shots)


def test_a_models_prompt_is_held_to_the_rules(classifier: Classifier) -> None:
    settled = brief(classifier, Query("a Diwali dinner"))
    taken = adopted(settled, "n" * 200, "warm \x00light\u202e over brass\n lamps", "blurry, ghosts")
    assert taken.prompt.startswith("a Diwali dinner, warm light over brass lamps")
    assert "North Indian setting" in taken.prompt
    assert len(taken.name) == 60
    assert taken.negative.endswith("ghosts")
    assert taken.negative.count("blurry") == 1


@pytest.mark.parametrize(
    ("query", "sizes", "style", "aspect", "size", "moderation"),
    [
        (Query("a cat"), (), "photorealistic", "square", (1024, 1024), "standard"),
        (Query("a cat", style="anime"), (), "anime", "square", (1024, 1024), "standard"),
        (Query("manga hero"), (), "anime", "square", (1024, 1024), "standard"),
        (
            Query("a cat", style="photorealistic", tags=("anime",)),
            (),
            "photorealistic",
            "square",
            (1024, 1024),
            "standard",
        ),
        (Query("portrait of a nurse"), (), "photorealistic", "portrait", (768, 1344), "standard"),
        (Query("a mountain lake"), (), "photorealistic", "landscape", (1344, 768), "standard"),
        (Query("portrait of a nurse"), ("hero",), "photorealistic", "landscape", (1344, 768), "standard"),
        (Query("a cat"), ("300x600", "sidebar"), "photorealistic", "portrait", (768, 1344), "standard"),
        (Query("a cat"), ("Square", "512X512"), "photorealistic", "square", (1024, 1024), "standard"),
        (Query("a lake"), ("nonsense", "0x0"), "photorealistic", "landscape", (1344, 768), "standard"),
        (Query("a cat", audience="children"), (), "photorealistic", "square", (1024, 1024), "strict"),
        (Query("a cat for kids"), (), "photorealistic", "square", (1024, 1024), "strict"),
        (Query("a cat", audience="adults"), (), "photorealistic", "square", (1024, 1024), "relaxed"),
    ],
)
def test_how_to_generate_is_decided_by_rules(
    classifier: Classifier,
    query: Query,
    sizes: tuple[str, ...],
    style: str,
    aspect: str,
    size: tuple[int, int],
    moderation: str,
) -> None:
    made = generation_of(brief(classifier, query), query.description, sizes, None, SIZES)
    assert (made.style, made.aspect, made.size, made.moderation) == (style, aspect, size, moderation)
    assert all(side % 64 == 0 for side in made.size)
    assert made.steps > 0
    assert made.guidance_scale > 0


def test_children_in_the_picture_are_moderated_strictly(classifier: Classifier) -> None:
    settled = brief(classifier, Query("a portrait"), age="child")
    assert generation_of(settled, "a portrait", (), None, {}).moderation == "strict"


@pytest.mark.parametrize(
    ("description", "given", "seed"),
    [("a cat", None, None), ("a cat", 0, 0), ("a cat, seed: 42", 7, 42), ("seed 99999999999 cat", None, None)],
)
def test_the_seed_is_the_one_that_was_asked_for(
    classifier: Classifier, description: str, given: int | None, seed: int | None
) -> None:
    assert generation_of(brief(classifier, Query(description)), description, (), given, {}).seed == seed


@pytest.mark.parametrize(
    ("description", "kind"),
    [
        ("coffee shop interior", "interior"),
        ("birthday cake for kids", "food"),
        ("Nigerian wedding with jollof rice", "person"),
        ("a panda eating watermelon", "animal"),
        ("an old lighthouse", "building"),
        ("mountain lake", "landscape"),
        ("a red bicycle", "object"),
        ("Chefchaouen", "landscape"),
    ],
)
def test_the_kind_of_subject_is_that_of_its_first_noun(classifier: Classifier, description: str, kind: str) -> None:
    assert brief(classifier, Query(description)).kind.name == kind
