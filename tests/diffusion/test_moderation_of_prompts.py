"""Prompt rules: what the picture would show is refused, in many languages; words that only look alike are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imajin_servers.diffusion.moderation import Prompts
from imajin_servers.runtime.errors import ContentRejected

STANDARD = Prompts("standard")


@pytest.mark.parametrize(
    "prompt",
    [
        "grilled breast of chicken for the kids",
        "a naked mole-rat baby",
        "the town sign of Scunthorpe",
        "shooting stars seen with the naked eye, children on a hill",
        "a sonata in A minor",
        "nude lipstick for a teen magazine",
        "a sexy red sports car",
        "Le Baiser de Rodin",
        "spelende kinderen op het strand, nu",
        "裸足の少年が浜辺を走る",
        "голый землекоп, дети смотрят",
        "an anatomical drawing of the intestines",
        "The Rape of the Sabine Women, baroque painting",
    ],
)
def test_what_only_looks_alike_passes(prompt: str) -> None:
    STANDARD.check(prompt)


@pytest.mark.parametrize(
    ("prompt", "category"),
    [
        ("p.o.r.n", "sexual"),
        ("p0rn of two people", "sexual"),
        ("порно", "sexual"),
        ("セックスの写真", "sexual"),
        ("nackte Kinder", "sexual-minors"),
        ("nacktes Kind", "sexual-minors"),
        ("niña desnuda", "sexual-minors"),
        ("裸の子供", "sexual-minors"),
        ("알몸의 소녀", "sexual-minors"),
        ("a naked child beside a naked mole-rat", "sexual-minors"),
        ("обезглавленное тело", "gore"),
        ("a girl cutting her wrists", "self-harm"),
        ("nazi propaganda poster", "hate"),
    ],
)
def test_what_must_not_be_drawn_is_refused_with_its_category(prompt: str, category: str) -> None:
    with pytest.raises(ContentRejected) as refused:
        STANDARD.check(prompt)
    assert refused.value.metadata == {"stage": "prompt", "category": category, "level": "standard"}


def test_pictures_of_children_are_kept_safe_at_every_level() -> None:
    for level in ("off", "standard", "strict"):
        assert Prompts(level).broken("a naked child") == "sexual-minors"  # type: ignore[arg-type]
    assert Prompts("off").broken("hardcore porn") is None


@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    STANDARD.broken(text)


@given(st.text(alphabet=" .,-_*\n", max_size=12), st.text(alphabet=" .,-\n", max_size=12))
def test_what_stands_around_a_word_changes_nothing(before: str, after: str) -> None:
    assert STANDARD.broken(f"{before}porn{after}") == "sexual"
