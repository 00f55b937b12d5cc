"""The classifier: a pure function of the query, by the index. It weighs what the index finds; it calls no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.languages import get_territory_language_info

from imajin_servers.prompt.classification import rules
from imajin_servers.prompt.classification.findings import Classification, Evidence, Feature, FoundCulture, Query
from imajin_servers.prompt.classification.index import Meaning, index
from imajin_servers.prompt.classification.words import split

REGION_CERTAINTY = 0.9
LOCALE_WEIGHT = 0.2
CUSTOM_LOCALE_WEIGHT = 0.4
"""Of the reader's locale where the picture shows a custom that every culture has its own way of, such as a wedding."""
AVOID_FROM = 0.35
LANGUAGES_FROM = 0.25
MOST_CULTURES = 8
MOST_EVIDENCE = 64
MOST_LANGUAGES = 6
CUSTOMS = frozenset({"occasions/wedding", "occasions/birthday", "occasions/market-day", "occasions/new-year"})
NEGATIONS = frozenset({"no", "not", "without", "never", "ohne", "kein", "keine", "sans", "sin", "senza", "sem", "non"})


@dataclass
class Tally:
    """What has been found so far."""

    evidence: dict[tuple[str, str], Evidence] = field(default_factory=dict)
    features: dict[tuple[str, str], Feature] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)

    def count(self, words: str, meanings: tuple[Meaning, ...], certainty: float) -> None:
        """Counts what `words` mean. `certainty` above 0 makes weak words strong, as in a filter that names the region."""
        strongest: dict[str, Evidence] = {}
        for meaning in meanings:
            self.met.add(meaning.rule)
            if meaning.feature is not None:
                self.features.setdefault((meaning.feature.kind, meaning.feature.name), meaning.feature)
                if not meaning.cultures:
                    self.evidence.setdefault((meaning.rule, ""), Evidence(words, meaning.rule, "", 0.0))
            for culture, weight in meaning.cultures:
                sure = 1 - (1 - weight) * (1 - certainty)
                if culture not in strongest or sure > strongest[culture].weight:
                    strongest[culture] = Evidence(words, meaning.rule, culture, sure)
        for culture, found in strongest.items():
            known = self.evidence.get((found.rule, culture))
            if known is None or found.weight > known.weight:
                self.evidence[found.rule, culture] = found

    def confidences(self) -> dict[str, float]:
        """How sure each culture is: the chance that not every rule that speaks for it is wrong (noisy or)."""
        doubt: dict[str, float] = {}
        for found in self.evidence.values():
            if found.culture:
                doubt[found.culture] = doubt.get(found.culture, 1.0) * (1 - found.weight)
        return {culture: 1 - left for culture, left in doubt.items()}


class Classifier:
    """Classifies queries. Building one reads all data (about a second); after that a query takes well under 5 ms."""

    def __init__(self) -> None:
        self.index = index()
        self.cultures = rules.cultures()
        self.avoidances = rules.avoidances()
        self.languages = {name: spoken(culture) for name, culture in self.cultures.items()}

    def classify(self, query: Query) -> Classification:
        """What the rules find in `query`. Never raises, whatever the text."""
        tally = Tally()
        for text, certainty in self.texts(query):
            self.read(text, certainty, tally)
        code = query.region.strip().upper()
        if code in self.index.territories:
            tally.count(query.region.strip(), (self.index.territories[code],), REGION_CERTAINTY)
        self.hint(query.locale, tally)
        return self.result(query.locale, tally)

    def texts(self, query: Query) -> Iterator[tuple[str, float]]:
        """The texts to look over, each with the certainty that it lends."""
        yield query.description, 0.0
        yield query.region, REGION_CERTAINTY
        for text in (query.category, query.period, query.season, query.style, query.audience, *query.tags):
            yield text, 0.0

    def read(self, text: str, certainty: float, tally: Tally) -> None:
        """Counts what `text` names, but for what it says no to."""
        words = split(text)
        counted: set[int] = set()
        for match in self.index.find(words.words):
            meanings = match.meanings
            # The same name again, even in other letters, says nothing new. Meanings live as long as the index.
            if id(meanings) in counted or (match.first and words.words[match.first - 1] in NEGATIONS):
                continue
            found = words.quote(match.first, match.last)
            if any(meaning.capitals for meaning in meanings) and not found.isupper():
                meanings = tuple(meaning for meaning in meanings if not meaning.capitals)
            else:
                counted.add(id(meanings))
            tally.count(found, meanings, certainty)

    def hint(self, locale: str, tally: Tally) -> None:
        """Counts the reader's locale where the words point to no other culture."""
        code = territory_of(locale)
        meaning = self.index.territories.get(code)
        if meaning is None:
            return
        culture = meaning.cultures[0][0]
        if any(found.culture not in ("", culture) for found in tally.evidence.values()):
            return
        weight = CUSTOM_LOCALE_WEIGHT if tally.met & CUSTOMS else LOCALE_WEIGHT
        tally.evidence["locale", culture] = Evidence(locale, f"locale/{code}", culture, weight)

    def result(self, locale: str, tally: Tally) -> Classification:
        """Everything in order."""
        sure = tally.confidences()
        order = sorted(sure, key=lambda name: (-sure[name], name))[:MOST_CULTURES]
        present = {name for name in order if sure[name] >= AVOID_FROM}
        evidence = sorted(tally.evidence.values(), key=lambda found: -found.weight)[:MOST_EVIDENCE]
        languages: dict[str, None] = {}
        for name in order:
            if sure[name] >= LANGUAGES_FROM:
                languages.update(dict.fromkeys(self.languages[name]))
        return Classification(
            cultures=tuple(self.found(name, sure[name], locale) for name in order),
            features=tuple(tally.features.values()),
            avoid=tuple(
                rule.avoidance for rule in self.avoidances if rule.cultures & present or rule.rules & tally.met
            ),
            evidence=tuple(evidence),
            languages=tuple(languages)[:MOST_LANGUAGES],
        )

    def found(self, name: str, confidence: float, locale: str) -> FoundCulture:
        """The culture `name` as a finding."""
        culture = self.cultures[name]
        return FoundCulture(
            name=name,
            title=culture.title,
            display_name=display_name(culture.cldr, culture.title, locale),
            confidence=confidence,
            territories=culture.territories,
            settings=culture.settings,
            palette=culture.palette,
        )


def spoken(culture: rules.Culture) -> tuple[str, ...]:
    """Languages of a culture: its own, then those that CLDR counts as official in its first territory for a tenth of people."""
    languages = dict.fromkeys(culture.languages)
    for code in culture.territories[:1]:
        info = get_territory_language_info(code)
        official = [
            tag
            for tag, facts in info.items()
            if facts["official_status"] and float(facts["population_percent"] or 0) >= 10
        ]
        languages.update(dict.fromkeys(tag.replace("_", "-") for tag in official))
    return tuple(languages)[:4]


@lru_cache(maxsize=256)
def parsed(tag: str) -> Locale | None:
    """The locale of a BCP 47 tag; its language alone where the whole is unknown, None where that is too."""
    for candidate in (tag, tag.replace("_", "-").split("-")[0]):
        try:
            return Locale.parse(candidate.replace("_", "-"), sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return None


@lru_cache(maxsize=256)
def territory_of(tag: str) -> str:
    """The ISO 3166-1 code that a tag names or, for languages other than English, most likely means; empty for none."""
    locale = parsed(tag) if tag else None
    if locale is None:
        return ""
    if locale.territory:
        return locale.territory
    likely = "" if locale.language == "en" else get_global("likely_subtags").get(locale.language, "")
    return likely.rpartition("_")[2]


@lru_cache(maxsize=4096)
def display_name(cldr: str, title: str, tag: str) -> str:
    """The name of a culture for people: CLDR's in the language of `tag`, else its English title."""
    locale = (parsed(tag) if tag else None) or Locale.parse("en")
    if cldr.startswith("lang:"):
        return locale.languages.get(cldr.removeprefix("lang:")) or title
    return locale.territories.get(cldr) or title
