"""Captions: many ways to say what a composed picture shows, from bare names to the long prompts that
language models write.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from concepts import Concept
from scenes import PHRASES, TIME_PHRASES, TIMELESS

STYLE_PHRASES = {
    "3d": ("3d style", "3d render", "photorealistic", "realistic photo", "glossy 3d", "cgi render"),
    "flat": ("flat style", "flat illustration", "flat vector art", "minimal flat design"),
    "gradient": ("gradient style", "smooth gradient illustration", "modern gradient style"),
    "noto": ("noto style", "cartoon style", "anime style", "comic drawing"),
}
LEADS = (
    "a picture of",
    "an image of",
    "a photo of",
    "an illustration of",
    "a drawing of",
    "a render of",
    "photograph of",
    "a portrait of",
    "there is",
    "a scene with",
)
ADJECTIVES = (
    "cute",
    "happy",
    "little",
    "lovely",
    "adorable",
    "friendly",
    "beautiful",
    "funny",
    "cheerful",
    "smiling",
    "playful",
    "colorful",
    "charming",
    "nice",
)
EXTRAS = (
    "soft light", "centered composition", "highly detailed", "studio lighting", "vibrant colors", "sharp focus", "8k", "masterpiece", "best quality",
    "cinematic lighting", "natural light", "shallow depth of field", "warm tones", "rule of thirds", "clean background", "trending on artstation",
    "golden hour light", "wide angle shot", "close-up shot", "50mm lens", "eye-level shot", "professional photography", "bright colors", "warm mood",
    "joyful atmosphere", "intricate details", "ultra realistic", "high resolution", "modern design", "medium shot", "bokeh", "playful mood",
    "soft diffused daylight", "golden hour light", "fresh morning light", "soft window light from one side", "even overcast light", "warm lamp light",
    "gentle backlight with a bright rim", "large soft studio light", "cool moonlight", "bright clear sunlight", "dappled light through leaves",
    "keep the background simple", "keep the colours few", "room around it", "the lines clean", "the moment natural",
)  # fmt: skip
PALETTES = (
    "fresh green",
    "coral",
    "warm honey",
    "cream",
    "soft teal",
    "sand",
    "muted earth tones",
    "clean white",
    "gentle pastels",
    "deep blue",
    "amber",
)
"""Words of colour that prompts end with and that say nothing of the thing or its background."""
ACTIONS = {
    "food": ("eating", "enjoying", "with", "holding", "eating some", "having"),
    "activities": ("with", "playing with", "holding", "next to"),
    "objects": ("with", "holding", "next to", "beside"),
    "plants": ("with", "next to", "beside", "smelling"),
}
BARE = {"laughter", "fries", "santa claus", "santa"}


@dataclass(frozen=True)
class Thing:
    """One sprite as it stands in a picture."""

    concept: Concept
    label: str
    tone: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Description:
    """What a composed picture shows."""

    things: tuple[Thing, ...]
    style: str
    background: str = ""  # a colour
    scene: str = ""
    time: str = "day"
    in_front: bool = False  # the second thing is small and in front of the first


def article(noun: str) -> str:
    """`noun` with "a" or "an" where one fits."""
    last = noun.split()[-1]
    if noun.lower() in BARE or (
        last.endswith("s")
        and not last.endswith("ss")
        and last not in {"bus", "octopus", "cactus", "rhinoceros", "hippopotamus", "walrus"}
    ):
        return noun
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(("uni", "eur", "one"))
    return f"{'an' if vowel else 'a'} {noun}"


def noun(thing: Thing, rng: random.Random) -> str:
    """A word for the thing: mostly its name, else a synonym, its CLDR label or keyword."""
    roll, concept = rng.random(), thing.concept
    word = concept.name
    if roll < 0.3 and concept.synonyms:
        word = rng.choice(concept.synonyms)
    elif roll < 0.4:
        word = thing.label.lower().replace(":", "")
    elif roll < 0.43 and concept.tags:
        word = rng.choice(concept.tags)
    if thing.label.startswith(("woman ", "man ")) and word in (concept.name, *concept.synonyms) and rng.random() < 0.6:
        word = (
            f"{'woman' if thing.label.startswith('woman') else 'man'} {word}"
            if not word.startswith(("woman", "man"))
            else word
        )
    return word


def phrase(thing: Thing, rng: random.Random, bare: bool = False) -> str:
    """The thing with its adjectives and article."""
    words = []
    if not bare and rng.random() < 0.2:
        words.append(rng.choice(ADJECTIVES))
    if thing.colour:
        words.append(thing.colour)
    words.append(noun(thing, rng))
    text = " ".join(words)
    if not bare or rng.random() < 0.4:
        text = article(text)
    if thing.tone and rng.random() < 0.5:
        text += f" with {thing.tone} skin"
    return text


def subject(d: Description, rng: random.Random) -> str:
    """The things, joined."""
    first = phrase(d.things[0], rng, bare=len(d.things) == 1 and rng.random() < 0.35)
    if len(d.things) == 1:
        return first
    second = phrase(d.things[1], rng)
    if d.in_front:
        return f"{first} {rng.choice(ACTIONS[d.things[1].concept.group])} {second}"
    return f"{first} {rng.choice(('and', 'and', 'and', 'next to', 'with', 'beside'))} {second}"


def setting(d: Description, rng: random.Random) -> str:
    """Where: a scene and a time of day, or a background colour."""
    if d.scene:
        when = "" if d.scene in TIMELESS else rng.choice(TIME_PHRASES[d.time])
        return " ".join(p for p in (rng.choice(PHRASES[d.scene]), when) if p)
    if d.background:
        return rng.choice((f"on a {d.background} background", f"{d.background} background", f"on {d.background}"))
    return ""


def says_style(text: str) -> bool:
    """Whether a caption names a style."""
    return any(phrase in text for phrases in STYLE_PHRASES.values() for phrase in phrases)


def caption(d: Description, rng: random.Random, unsaid: Collection[str] = ("3d",)) -> str:
    """One caption. The styles of `unsaid` often go without saying; the others are always named."""
    text = subject(d, rng)
    lead = rng.random()
    if lead < 0.14:
        text = f"{rng.choice(LEADS)} {text}"
    style = "" if d.style in unsaid and rng.random() < 0.65 else rng.choice(STYLE_PHRASES[d.style])
    if style and rng.random() < 0.15:
        text, style = f"{style} of {text}", ""
    where = setting(d, rng)
    parts = [" ".join(p for p in (text, where if rng.random() < 0.75 else "") if p)]
    if where and where not in parts[0]:
        parts.append(where)
    if style:
        parts.append(style)
    if rng.random() < 0.28:
        parts += rng.sample(EXTRAS, rng.randint(1, 4))
        if rng.random() < 0.4:
            parts.insert(rng.randint(1, len(parts)), f"palette of {' and '.join(rng.sample(PALETTES, 2))}")
    return ", ".join(parts)
