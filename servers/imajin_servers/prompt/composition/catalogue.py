"""The data files of composition as typed choices."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from imajin_servers.prompt.classification.words import phrase


@dataclass(frozen=True)
class Choice:
    """Something to choose: a short `name`, and the `phrase` that goes into the prompt."""

    name: str
    phrase: str


class Words:
    """A set of words and phrases that can be looked for in a text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.phrases = {words for text in texts if (words := phrase(text))}
        self.lengths = sorted({len(words) for words in self.phrases})

    def met(self, forms: tuple[str, ...]) -> bool:
        """Whether one of them is in `forms`; a simple plural counts too."""
        return any(
            text[at : at + length] in self.phrases
            for text in (forms, tuple(map(singular, forms)))
            for length in self.lengths
            for at in range(len(text) - length + 1)
        )


class Names:
    """Names of several kinds of thing, looked for in order."""

    def __init__(self, kinds: Mapping[str, Iterable[tuple[str, ...]]]) -> None:
        self.kinds = {words: kind for kind, names in kinds.items() for words in names}
        self.lengths = sorted({len(words) for words in self.kinds}, reverse=True)

    def head(self, forms: tuple[str, ...]) -> str:
        """The kind of the last name in the first run of names; empty where there is none."""
        kind, at = "", 0
        while at < len(forms):
            length, found = self.at(forms, at)
            if found:
                kind, at = found, at + length
            elif kind:
                break
            else:
                at += 1
        return kind

    def at(self, forms: tuple[str, ...], at: int) -> tuple[int, str]:
        """The longest name that begins at `at`: its length and kind."""
        for length in self.lengths:
            words = forms[at : at + length]
            if len(words) == length and (kind := self.kinds.get(words) or self.kinds.get(tuple(map(singular, words)))):
                return length, kind
        return 1, ""


def singular(form: str) -> str:
    """`form` without the "s" of a simple plural."""
    return form[:-1] if len(form) > 3 and form.isascii() and form.endswith("s") else form


@dataclass(frozen=True)
class Medium:
    """What the picture is made as. `model` is the style of model: `photorealistic` or `anime`."""

    name: str
    model: str
    words: Words
    terms: tuple[str, ...]
    negative: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of subject, and the choices that suit it."""

    name: str
    words: Words
    views: tuple[Choice, ...]
    surroundings: str
    settings: tuple[str, ...]
    cameras: tuple[str, ...]
    focus: tuple[str, ...]
    details: tuple[str, ...]


@dataclass(frozen=True)
class Audience:
    """Who will see it: the moderation `level`, and what that adds to the prompts."""

    name: str
    words: Words
    level: str
    hint: str
    negative: tuple[str, ...]


@dataclass(frozen=True)
class Looks:
    """Lights, colours, seasons, audiences and orientations."""

    lights: dict[str, Choice]
    palettes: tuple[str, ...]
    moods: tuple[str, ...]
    keeps: tuple[str, ...]
    negative: tuple[str, ...]
    surroundings: dict[str, tuple[str, ...]]
    times: tuple[tuple[Words, tuple[str, ...]], ...]
    seasons: dict[str, tuple[Words, str]]
    audiences: tuple[Audience, ...]
    orientation: dict[str, Words]


def read(name: str) -> dict[str, Any]:
    """The data file `name`."""
    return tomllib.loads(files("imajin_servers.prompt.composition").joinpath("data", f"{name}.toml").read_text("utf-8"))


def choices(pairs: list[list[str]]) -> tuple[Choice, ...]:
    """Choices from pairs of name and phrase."""
    return tuple(Choice(name, text) for name, text in pairs)


@cache
def media() -> tuple[Medium, ...]:
    """All media, in the order in which they are looked for; the last one is the default."""
    return tuple(
        Medium(name, entry["model"], Words(entry["words"]), tuple(entry["terms"]), tuple(entry["negative"]))
        for name, entry in read("media").items()
        if name != "styles"
    )


@cache
def styles() -> dict[str, dict[str, float]]:
    """Steps and guidance scale that suit each style of model."""
    return dict(read("media")["styles"])


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds of subject, in the order in which they are looked for; the last one is the default."""
    return tuple(
        Kind(
            name=name,
            words=Words(entry["words"]),
            views=choices(entry["views"]),
            surroundings=entry["surroundings"],
            settings=tuple(entry["settings"]),
            cameras=tuple(entry["cameras"]),
            focus=tuple(entry["focus"]),
            details=tuple(entry["details"]),
        )
        for name, entry in read("subjects").items()
    )


@cache
def looks() -> Looks:
    """Everything of `looks.toml`."""
    entry = read("looks")
    return Looks(
        lights={light.name: light for light in choices(entry["lights"])},
        palettes=tuple(entry["palettes"]),
        moods=tuple(entry["moods"]),
        keeps=tuple(entry["keeps"]),
        negative=tuple(entry["negative"]),
        surroundings={name: tuple(lights) for name, lights in entry["surroundings"].items()},
        times=tuple((Words(time["words"]), tuple(time["lights"])) for time in entry["times"].values()),
        seasons={name: (Words(season["words"]), season["hint"]) for name, season in entry["seasons"].items()},
        audiences=tuple(
            Audience(name, Words(one["words"]), one["level"], one["hint"], tuple(one["negative"]))
            for name, one in entry["audiences"].items()
        ),
        orientation={name: Words(words) for name, words in entry["orientation"].items()},
    )
