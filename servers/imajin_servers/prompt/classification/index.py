"""Every name of the data and of CLDR in one table, built once: looking a text over costs one look-up a word."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from babel import Locale

from imajin_servers.prompt.classification import rules
from imajin_servers.prompt.classification.findings import Feature
from imajin_servers.prompt.classification.words import phrase

PEOPLE_WEIGHT = 0.75
TERRITORY_WEIGHT = 0.75
SHARED_TERRITORY_WEIGHT = 0.45
LANGUAGE_WEIGHT = 0.6
COUNTRY = re.compile("[A-Z]{2}")


@dataclass(frozen=True)
class Meaning:
    """What a name stands for: a rule (`attire/kimono`), how much it speaks for which cultures, and its feature if it is one."""

    rule: str
    cultures: tuple[tuple[str, float], ...]
    feature: Feature | None = None
    capitals: bool = False


@dataclass(frozen=True)
class Match:
    """The words `first` to `last` (exclusive) of a text carry these meanings; none for a neutral phrase."""

    first: int
    last: int
    meanings: tuple[Meaning, ...]


def territory_meanings() -> dict[str, Meaning]:
    """What each ISO 3166-1 code says: the culture that is named after it or its region, else all that share it, each less."""
    sharing: dict[str, list[rules.Culture]] = defaultdict(list)
    for culture in rules.cultures().values():
        for code in culture.territories:
            sharing[code].append(culture)
    meanings = {}
    for code, present in sharing.items():
        cultures = [culture for culture in present if not culture.within] or present
        named = [culture for culture in cultures if culture.cldr == code] or [
            culture for culture in cultures if culture.cldr.isdigit()
        ]
        chosen = named[:1] or cultures
        weight = TERRITORY_WEIGHT if len(chosen) == 1 else SHARED_TERRITORY_WEIGHT
        meanings[code] = Meaning(f"territory/{code}", tuple((culture.name, weight) for culture in chosen))
    return meanings


def plurals(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """`words`, and their simple English plural."""
    yield words
    last = words[-1]
    if not (last.isascii() and last.isalpha()) or len(last) < 3:
        return
    if last.endswith("y") and last[-2] not in "aeiou":
        yield (*words[:-1], f"{last[:-1]}ies")
    elif last.endswith(("s", "x", "ch", "sh")):
        yield (*words[:-1], f"{last}es")
    else:
        yield (*words[:-1], f"{last}s")


def inflected(name: str, bends: Sequence[tuple[str, list[str]]]) -> Iterator[str]:
    """`name`, and the forms that its language bends it into."""
    yield name
    for ending, others in bends:
        if name.endswith(ending):
            yield from (name[: -len(ending)] + other for other in others)
            return


class Index:
    """Finds every name in a text; a longer name wins over one inside it."""

    def __init__(self) -> None:
        self.territories = territory_meanings()
        self.table: dict[tuple[str, ...], list[Meaning]] = defaultdict(list)
        self.names = rules.names()
        for text in rules.neutral():
            for form in plurals(phrase(text)):
                self.table[form] = []
        self.add_rules()
        self.add_cldr()
        # First word, then for each length, the longest first, the rest of the words.
        by_first: dict[str, dict[int, dict[tuple[str, ...], tuple[Meaning, ...]]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for words, meanings in self.table.items():
            by_first[words[0]][len(words)][words[1:]] = tuple(meanings)
        self.by_first = {first: sorted(lengths.items(), reverse=True) for first, lengths in by_first.items()}

    def add(self, words: tuple[str, ...], meaning: Meaning) -> None:
        """Adds a name; names that are neutral, empty, or mean this already, stay as they are."""
        if not words:
            return
        known = self.table.get(words)
        if known is None:
            self.table[words] = [meaning]
        elif known and all(other.rule != meaning.rule for other in known):
            known.append(meaning)

    def add_rules(self) -> None:
        """Adds the names that the data files give."""
        for culture in rules.cultures().values():
            meaning = Meaning(f"people/{culture.name}", ((culture.name, PEOPLE_WEIGHT),))
            for text in culture.words:
                self.add_with_forms(text, meaning)
        for rule in rules.features():
            feature = rule.feature
            meaning = Meaning(f"{feature.kind}/{feature.name}", feature.cultures, feature)
            for text in rule.words:
                self.add_with_forms(text, meaning)
        for text, code in self.names.abbreviations.items():
            territory = self.territories[code]
            self.add(phrase(text), Meaning(territory.rule, territory.cultures, capitals=True))

    def add_with_forms(self, text: str, meaning: Meaning) -> None:
        """Adds `text`, its plural, and where its script sticks articles to words, those forms."""
        words = phrase(text)
        if not words:
            raise ValueError(f"{meaning.rule}: {text!r} holds no word")
        for form in plurals(words):
            self.add(form, meaning)
        for prefix in self.prefixes(words[0]):
            self.add((prefix + words[0], *words[1:]), meaning)

    def prefixes(self, word: str) -> Sequence[str]:
        """What may stick to the front of `word`."""
        if "\u0600" <= word[0] <= "\u06ff":
            return self.names.prefixes["arabic"]
        if "\u0590" <= word[0] <= "\u05ff":
            return self.names.prefixes["hebrew"]
        return ()

    def add_cldr(self) -> None:
        """Adds the names of territories and languages that CLDR knows in the locales of the data."""
        speaking: dict[str, list[str]] = defaultdict(list)
        for culture in rules.cultures().values():
            for language in culture.languages:
                speaking[language].append(culture.name)
        for tag in self.names.locales:
            locale = Locale.parse(tag)
            bends = self.names.inflections.get(tag, [])
            for code, name in locale.territories.items():
                meaning = self.territories.get(code)
                if meaning is not None and COUNTRY.fullmatch(code):
                    self.add_name(name, meaning)
            for language, cultures in speaking.items():
                name = locale.languages.get(language, "")
                weight = LANGUAGE_WEIGHT if len(cultures) == 1 else SHARED_TERRITORY_WEIGHT
                meaning = Meaning(f"language/{language}", tuple((culture, weight) for culture in cultures))
                for form in inflected(name, bends):
                    self.add_name(form, meaning)

    def add_name(self, name: str, meaning: Meaning) -> None:
        """Adds a name of CLDR unless it is ambiguous, or so short in a script with spaces that it would be a word."""
        # "Myanmar (Burma)", "Bosnia & Herzegovina": nobody writes them so.
        name = name.split(" (")[0]
        if " & " in name:
            self.add_name(name.replace(" & ", " and "), meaning)
        words = phrase(name)
        plain = " ".join(words)
        if plain in self.names.ambiguous or (len(plain) < 4 and plain.isascii()):
            return
        self.add(words, meaning)
        if words and len(words[0]) > 2:
            for prefix in self.prefixes(words[0]):
                self.add((prefix + words[0], *words[1:]), meaning)

    def find(self, forms: list[str]) -> Iterator[Match]:
        """The names in these words, in order, none inside another."""
        by_first = self.by_first
        at, last = 0, len(forms)
        while at < last:
            for length, names in by_first.get(forms[at], ()):
                meanings = names.get(tuple(forms[at + 1 : at + length]))
                if meanings is not None:
                    yield Match(at, at + length, meanings)
                    at += length
                    break
            else:
                at += 1


@cache
def index() -> Index:
    """The index of the packaged data, built once a process."""
    return Index()
