"""What the classifier is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """What is known about a picture. `locale` is a BCP 47 tag."""

    description: str
    category: str = ""
    region: str = ""
    period: str = ""
    season: str = ""
    style: str = ""
    audience: str = ""
    tags: tuple[str, ...] = ()
    locale: str = ""


@dataclass(frozen=True)
class Feature:
    """An occasion, attire, food, place or period that the data names.

    `kind` is the file (`occasions`), `name` the section (`diwali`). `hint` is an English phrase for a prompt, or empty; so are
    `light` and `palette`. `cultures` says how much the words speak for which culture, 0 to 1.
    """

    kind: str
    name: str
    hint: str = ""
    light: str = ""
    palette: str = ""
    cultures: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """`words`, as found in the text, met `rule` and speak for `culture` (empty for none) with `weight`, 0 to 1."""

    words: str
    rule: str
    culture: str
    weight: float


@dataclass(frozen=True)
class FoundCulture:
    """A culture that the words speak for, with confidence 0 to 1. `title` is its English name."""

    name: str
    title: str
    display_name: str
    confidence: float
    territories: tuple[str, ...]
    settings: tuple[str, ...]
    palette: tuple[str, ...]


@dataclass(frozen=True)
class Avoidance:
    """What to avoid: a sentence for people, and terms for the negative prompt."""

    say: str
    negative: tuple[str, ...]


@dataclass(frozen=True)
class Classification:
    """What the rules found; everything most likely, or most important, first. `features` are in the order of the text."""

    cultures: tuple[FoundCulture, ...] = ()
    features: tuple[Feature, ...] = ()
    avoid: tuple[Avoidance, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    languages: tuple[str, ...] = ()

    def of(self, kind: str) -> tuple[Feature, ...]:
        """The features of one kind, such as `food`."""
        return tuple(feature for feature in self.features if feature.kind == kind)
