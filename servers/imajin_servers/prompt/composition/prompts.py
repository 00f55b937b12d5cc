"""The prompts themselves: composed from what was chosen, or adopted from a model that writes well."""

from __future__ import annotations

from dataclasses import dataclass

from imajin_servers.prompt.classification.words import phrase
from imajin_servers.prompt.composition.brief import Brief, Shot
from imajin_servers.prompt.composition.subject import clipped, plain

LONGEST_NAME = 60
LONGEST_PROMPT = 900
LONGEST_NEGATIVE = 600
# Text encoders of image models weigh the first words most, small ones read about 20: the subject must be among them.
EARLY_WORDS = 20


@dataclass(frozen=True)
class Prompt:
    """What to draw and what not, with a name for people of at most 60 characters."""

    name: str
    prompt: str
    negative: str


def composed(brief: Brief, index: int, shot: Shot) -> Prompt:
    """Prompt `index` of a brief from what was chosen for it. It begins with the subject as the user said it."""
    choices = brief.shots[index]
    parts = [
        brief.subject.text,
        *brief.hints,
        shot.detail,
        choices.setting,
        shot.view.phrase,
        shot.light.phrase,
        f"palette of {choices.palette}",
        choices.ending,
    ]
    name = f"{shot.view.name}, {shot.light.name}"
    return Prompt(
        name=clipped(name[:1].upper() + name[1:], LONGEST_NAME),
        prompt=clipped(", ".join(part for part in parts if part), LONGEST_PROMPT),
        negative=negative_of(brief),
    )


def adopted(brief: Brief, name: str, prompt: str, negative: str) -> Prompt:
    """A prompt that a model wrote, held to the same rules: clean, of bounded length, the subject early, the avoidances in."""
    text = plain(prompt)
    subject = phrase(brief.subject.text)
    early = phrase(text)[: len(subject) + EARLY_WORDS]
    if not set(subject) <= set(early):
        text = f"{brief.subject.text}, {text}".rstrip(", ")
    missing = [hint for hint in brief.hints if not set(phrase(hint)) & set(phrase(text))]
    return Prompt(
        name=clipped(plain(name), LONGEST_NAME) or clipped(brief.subject.text, LONGEST_NAME),
        prompt=clipped(", ".join([text, *missing]), LONGEST_PROMPT),
        negative=negative_of(brief, plain(negative)),
    )


def negative_of(brief: Brief, written: str = "") -> str:
    """What not to draw: what the brief says, then what a model added."""
    terms = [*brief.negative, *(term.strip() for term in written.split(","))]
    return clipped(", ".join(dict.fromkeys(term for term in terms if term)), LONGEST_NEGATIVE)
