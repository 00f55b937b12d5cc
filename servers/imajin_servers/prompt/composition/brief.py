"""Everything that is settled before a model is asked: what every prompt says, and what may be chosen for each."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeVar

from imajin_servers.prompt.classification import Classification, Query
from imajin_servers.prompt.classification.rules import features
from imajin_servers.prompt.classification.words import phrase
from imajin_servers.prompt.composition.catalogue import (
    Audience,
    Choice,
    Kind,
    Medium,
    Names,
    kinds,
    looks,
    media,
    singular,
)
from imajin_servers.prompt.composition.subject import Subject, clipped, plain, subject_of

T = TypeVar("T")

CULTURE_FROM = 0.35
MOST_HINTS = 6
MOST_WORDS = 160
# Says where the picture is set, so that no setting is added.
PLACED = re.compile(
    r"\b(?:in|on|at|under|inside|outside|near|beside|through|across|by|against|over)\s+(?:an?|the|some|his|her|their|my)\b|\bback(?:ground|drop)\b",
    re.I,
)
BUSY = re.compile(r"\b\w{2,}ing\b", re.IGNORECASE)
# Media that show a subject by itself.
UNSET = ("emoji", "flat-illustration")
# Words before an audience, as in "for kids", in the languages that are often written.
FOR = ("for", "fur", "pour", "para", "per")
# Kinds for which a culture's settings are natural surroundings.
SET_IN_CULTURE = ("person", "object")


@dataclass(frozen=True)
class Shot:
    """What was chosen for one prompt."""

    view: Choice
    light: Choice
    detail: str


@dataclass(frozen=True)
class ShotChoices:
    """What may be chosen for one prompt; no two prompts of a request share view and light."""

    views: tuple[Choice, ...]
    lights: tuple[Choice, ...]
    details: tuple[str, ...]
    setting: str
    palette: str
    ending: str

    def drawn(self, chance: random.Random) -> Shot:
        """A shot by chance."""
        return Shot(chance.choice(self.views), chance.choice(self.lights), chance.choice(self.details))


@dataclass(frozen=True)
class Brief:
    """The settled part. `hints` are phrases of culture, occasion, period, season and filters; `negative` what not to draw."""

    subject: Subject
    kind: Kind
    medium: Medium
    audience: Audience | None
    culture: str
    hints: tuple[str, ...]
    negative: tuple[str, ...]
    avoid: tuple[str, ...]
    shots: tuple[ShotChoices, ...]


def brief_of(query: Query, found: Classification, *, age: str, gender: str, count: int, seed: int) -> Brief:
    """The brief of a query, for `count` prompts. The same seed gives the same brief."""
    subject = subject_of(query.description)
    said = phrase(" . ".join((subject.text, query.category, *query.tags)))[:MOST_WORDS]
    kind = kind_of(said, found)
    medium = medium_of(query, said)
    audience = audience_of(query, said, age)
    sure = [culture for culture in found.cultures if culture.confidence >= CULTURE_FROM]
    hints = hints_of(query, found, subject, age, gender)
    negative = (
        *subject.excluded,
        *(term for avoidance in found.avoid for term in avoidance.negative),
        *(audience.negative if audience else ()),
        *medium.negative,
        *looks().negative,
    )
    asked = set(phrase(subject.text))
    wanted = dict.fromkeys(term for term in negative if not set(phrase(term)) <= asked)
    return Brief(
        subject=subject,
        kind=kind,
        medium=medium,
        audience=audience,
        culture=sure[0].name if sure else "",
        hints=hints,
        negative=tuple(wanted),
        avoid=tuple(avoidance.say for avoidance in found.avoid),
        shots=shots_of(subject, kind, medium, found, said, count, random.Random(seed)),
    )


def kind_of(said: tuple[str, ...], found: Classification) -> Kind:
    """The kind of what the words name first: the last of the first names that stand together, as in "coffee shop interior"."""
    by_name = {kind.name: kind for kind in kinds()}
    head = heads().head(said)
    if head:
        return by_name[head]
    return by_name["person" if found.of("occasions") else "landscape" if found.of("places") else "object"]


@cache
def heads() -> Names:
    """The names of subjects by kind. Food of any culture is food, and whoever wears something is a person."""
    names = {kind.name: list(kind.words.phrases) for kind in kinds()}
    for rule in features():
        if kind := {"food": "food", "attire": "person"}.get(rule.feature.kind):
            names[kind].extend(phrase(text) for text in rule.words)
    return Names(names)


def medium_of(query: Query, said: tuple[str, ...]) -> Medium:
    """The medium that the style filter names, else the words do, else the last."""
    for text in (phrase(query.style), said):
        for medium in media():
            if medium.words.met(text):
                return medium
    return media()[-1]


def audience_of(query: Query, said: tuple[str, ...], age: str) -> Audience | None:
    """The audience, by filter or by "for kids" in the words. Children in the picture call for the same strictness as before it."""
    strict, *_ = looks().audiences
    meant = tuple(form for before, form in pairwise(said) if before in FOR)
    if strict.words.met(phrase(age)) or strict.words.met(meant):
        return strict
    asked = phrase(query.audience)
    return next((audience for audience in looks().audiences if audience.words.met(asked)), None)


def hints_of(query: Query, found: Classification, subject: Subject, age: str, gender: str) -> tuple[str, ...]:
    """What every prompt says beside the subject, and the subject doesn't yet."""
    hints = [" ".join(part for part in (plain(age), plain(gender)) if part)]
    named = False
    for culture in found.cultures[:1]:
        if culture.confidence >= CULTURE_FROM:
            hints.append(f"{adjective(culture.title)} setting")
            named = True
    hints.extend(
        feature.hint if feature.hint or subject.text.isascii() else feature.name.replace("-", " ")
        for feature in found.features
    )
    season, hint = season_of(query)
    hints.append(hint or (f"{season} season" if season else ""))
    if query.region and not named:
        hints.append(f"set in {plain(query.region)}")
    if query.period and not found.of("periods"):
        hints.append(plain(query.period))
    if query.style and not any(medium.words.met(phrase(query.style)) for medium in media()):
        hints.append(f"{plain(query.style)} style")
    hints.extend(plain(tag) for tag in query.tags)
    audience = audience_of(query, phrase(subject.text), "")
    hints.append(audience.hint if audience else "")
    return unsaid(hints, subject.text)


def unsaid(hints: list[str], text: str) -> tuple[str, ...]:
    """The hints that add a word to `text` and the hints before them."""
    known = {*phrase(text), "setting", "celebration", "details", "with", "and", "of", "the", "a", "in"}
    kept = []
    for hint in hints:
        words = set(phrase(hint))
        if words - known:
            kept.append(clipped(hint, 80))
            known |= words
    return tuple(kept[:MOST_HINTS])


def adjective(title: str) -> str:
    """A title that names several peoples, shortened to the first."""
    return re.split(r",| and | \(", title)[0]


def season_of(query: Query) -> tuple[str, str]:
    """The season that the filter gives, and its hint; a season in the description speaks for itself."""
    said = phrase(query.season)
    for name, (words, hint) in looks().seasons.items():
        if words.met(said):
            return name, hint
    return plain(query.season), ""


def shots_of(
    subject: Subject,
    kind: Kind,
    medium: Medium,
    found: Classification,
    said: tuple[str, ...],
    count: int,
    chance: random.Random,
) -> tuple[ShotChoices, ...]:
    """What may be chosen for each prompt. Views and lights are dealt out, so that prompts differ whatever is chosen."""
    views = shuffled(kind.views, chance)
    lights = shuffled(lights_for(said, kind, found), chance)
    unwanted = {singular(form) for term in subject.excluded for form in phrase(term)}
    fitting = tuple(detail for detail in kind.details if unwanted.isdisjoint(map(singular, phrase(detail))))
    details = shuffled(fitting or kind.details, chance)
    palettes = shuffled(palettes_for(found), chance)
    settings = shuffled(settings_for(subject, kind, medium, found), chance)
    endings = shuffled(medium.terms or tuple(f"photograph, {camera}" for camera in kind.cameras), chance)
    return tuple(
        ShotChoices(
            views=dealt(views, index, count),
            # A step further in each round of the views: no view meets the same light twice.
            lights=dealt(lights, index if len(lights) >= count else index + index // len(views), count),
            details=dealt(details, index, count),
            setting=settings[index % len(settings)] if settings else "",
            palette=palettes[index % len(palettes)],
            ending=endings[index % len(endings)],
        )
        for index in range(count)
    )


def shuffled(items: tuple[T, ...], chance: random.Random) -> tuple[T, ...]:
    """The items in another order."""
    return tuple(chance.sample(items, len(items)))


def dealt(items: tuple[T, ...], index: int, count: int) -> tuple[T, ...]:
    """The hand of player `index` when `items` are dealt to `count` players; with fewer items than players they go round again."""
    return items[index::count] if len(items) >= count else (items[index % len(items)],)


def lights_for(said: tuple[str, ...], kind: Kind, found: Classification) -> tuple[Choice, ...]:
    """Lights that suit the time that the words name, else the occasion, else the usual surroundings."""
    festive = tuple(
        Choice(f"{feature.name} light".replace("-", " "), feature.light) for feature in found.features if feature.light
    )[:2]
    named = next((lights for words, lights in looks().times if words.met(said)), None)
    if named is None:
        named = looks().surroundings["festive" if festive else kind.surroundings]
    return festive + tuple(looks().lights[name] for name in named)


def palettes_for(found: Classification) -> tuple[str, ...]:
    """Colours of the occasion and the culture, else any."""
    own = [feature.palette for feature in found.features if feature.palette]
    for culture in found.cultures[:1]:
        if culture.confidence >= CULTURE_FROM:
            own.extend(culture.palette)
    return tuple(own) if len(own) > 1 else (*own, *looks().palettes[:2]) if own else looks().palettes


def settings_for(subject: Subject, kind: Kind, medium: Medium, found: Classification) -> tuple[str, ...]:
    """Where it may be set; nothing where the user says so already."""
    if found.of("places") or PLACED.search(subject.text) or medium.name in UNSET:
        return ()
    for culture in found.cultures[:1]:
        if culture.confidence >= CULTURE_FROM and kind.name in SET_IN_CULTURE:
            return culture.settings
    # Who is busy is somewhere already, and a quiet street may not be it.
    return () if kind.name == "person" and BUSY.search(subject.text) else kind.settings
