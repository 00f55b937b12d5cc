"""The data files as typed rules."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from imajin_servers.prompt.classification.findings import Avoidance, Feature

FEATURE_KINDS = ("occasions", "attire", "food", "places", "periods")


@dataclass(frozen=True)
class Culture:
    """A culture of `cultures.toml`. `cldr` is a territory, a UN M.49 region, or `lang:` and a language.

    `within` says that the name of one of its territories doesn't mean it.
    """

    name: str
    title: str
    cldr: str
    territories: tuple[str, ...]
    languages: tuple[str, ...]
    words: tuple[str, ...]
    settings: tuple[str, ...]
    palette: tuple[str, ...]
    within: bool


@dataclass(frozen=True)
class FeatureRule:
    """A feature and the words that name it."""

    feature: Feature
    words: tuple[str, ...]


@dataclass(frozen=True)
class AvoidRule:
    """An avoidance and what calls for it: a culture, or a rule such as `attire/kimono`."""

    avoidance: Avoidance
    cultures: frozenset[str]
    rules: frozenset[str]
    priority: int


@dataclass(frozen=True)
class Names:
    """`names.toml` and the ambiguous names of `neutral.toml`."""

    locales: tuple[str, ...]
    abbreviations: dict[str, str]
    inflections: dict[str, list[tuple[str, list[str]]]]
    prefixes: dict[str, list[str]]
    ambiguous: frozenset[str]


def read(name: str) -> dict[str, Any]:
    """The data file `name`."""
    return tomllib.loads(
        files("imajin_servers.prompt.classification").joinpath("data", f"{name}.toml").read_text("utf-8")
    )


@cache
def cultures() -> dict[str, Culture]:
    """All cultures by name."""
    return {
        name: Culture(
            name=name,
            title=entry["title"],
            cldr=entry["cldr"],
            territories=tuple(entry["territories"]),
            languages=tuple(entry["languages"]),
            words=tuple(entry["words"]),
            settings=tuple(entry["settings"]),
            palette=tuple(entry["palette"]),
            within=entry.get("within", False),
        )
        for name, entry in read("cultures").items()
    }


@cache
def features() -> tuple[FeatureRule, ...]:
    """All features of all kinds."""
    return tuple(
        FeatureRule(
            Feature(
                kind=kind,
                name=name,
                hint=entry.get("hint", ""),
                light=entry.get("light", ""),
                palette=entry.get("palette", ""),
                cultures=tuple(entry["cultures"].items()),
            ),
            tuple(entry["words"]),
        )
        for kind in FEATURE_KINDS
        for name, entry in read(kind).items()
    )


@cache
def avoidances() -> tuple[AvoidRule, ...]:
    """What to avoid, most important first."""
    rules = [
        AvoidRule(
            Avoidance(entry["say"], tuple(entry["negative"])),
            frozenset(entry["cultures"]),
            frozenset(entry["rules"]),
            entry["priority"],
        )
        for entry in read("avoid")["avoid"]
    ]
    return tuple(sorted(rules, key=lambda rule: -rule.priority))


@cache
def neutral() -> tuple[str, ...]:
    """Phrases that look like a culture and are none."""
    return tuple(read("neutral")["phrases"])


@cache
def names() -> Names:
    """Where names of territories and languages come from."""
    entry = read("names")
    return Names(
        locales=tuple(entry["locales"]),
        abbreviations=entry["abbreviations"],
        inflections={
            language: [(ending, list(others)) for ending, others in table]
            for language, table in entry["inflections"].items()
        },
        prefixes=entry["prefixes"],
        ambiguous=frozenset(read("neutral")["ambiguous_names"]),
    )
