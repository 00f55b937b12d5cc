"""Rules over prompts, from the data files in `rules/`.

A rule is a category, a level and groups of words; it holds where every group has a word in the text. Text is folded first:
letters without accents, look-alikes and digits that stand for letters as those letters, joiners dropped. Phrases that mean
something else (`harmless.toml`: a naked mole-rat, a chicken breast, a chord in A minor) are taken out before.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from imajin_servers.runtime.errors import ContentRejected

log = structlog.get_logger()
RULES = Path(__file__).parent / "rules"
LEVELS = ("off", "standard", "strict")
UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
"""Kana and Chinese characters."""
SPACED = re.compile(r"(?<![^\W_])[^\W_]([\W_])[^\W_](?:\1[^\W_]){2,}(?![^\W_])")
WORD = re.compile(r"[^\W_]+")
LOOKALIKES = str.maketrans("0134578@$аеорсухі", "oieastbasaeopcyxi")


Needles = tuple[str, ...]
"""Pieces of text as `words_of` writes it, of which one is looked for."""


@dataclass(frozen=True)
class Rule:
    """Refuses from `level` on what has one of every group; level `off` always."""

    category: str
    level: str
    groups: tuple[Needles, ...]

    def holds(self, text: str) -> bool:
        """Whether a text as `words_of` writes it breaks the rule."""
        return all(any(needle in text for needle in group) for group in self.groups)


class Prompts:
    """The rules that apply at `level`."""

    def __init__(self, level: Literal["off", "standard", "strict"]) -> None:
        reach = LEVELS.index(level)
        self.level = level
        self.rules = [rule for rule in read(RULES) if LEVELS.index(rule.level) <= reach]
        self.harmless = harmless(RULES)

    def check(self, prompt: str) -> None:
        """Raises ContentRejected where a rule holds."""
        category = self.broken(prompt)
        if category is not None:
            log.warning("moderation refused a prompt", category=category, level=self.level)
            raise ContentRejected(
                f"the prompt was refused by moderation: {category}",
                metadata={"stage": "prompt", "category": category, "level": self.level},
            )

    def broken(self, prompt: str) -> str | None:
        """The category of the first rule that `prompt` breaks; None where it breaks none."""
        texts = {self.without_harmless(text) for text in readings(prompt)}
        return next((rule.category for rule in self.rules if any(rule.holds(text) for text in texts)), None)

    def without_harmless(self, text: str) -> str:
        """A text without the phrases that mean something else."""
        for needle in self.harmless:
            text = text.replace(needle, " | ")
        return text


def readings(prompt: str) -> Iterator[str]:
    """What a prompt can be read as: as it is, with look-alikes as letters, and with the letters of s p a c e d words joined."""
    plain = folded(prompt)
    looked = plain.translate(LOOKALIKES)
    yield words_of(plain)
    yield words_of(looked)
    yield words_of(SPACED.sub(lambda found: "".join(WORD.findall(found[0])), looked))


def words_of(text: str) -> str:
    """The words of folded text, a space before and after each: neighbours share none, so phrases are plain substrings.

    A regular expression of all words took a quarter of a second for a prompt of 4000 letters; this takes some milliseconds.
    """
    return "".join(f" {word} " for word in WORD.findall(text))


def read(folder: Path) -> list[Rule]:
    """The rules in the files of `folder`."""
    rules = []
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text()).get("rule", ()):
            groups = tuple(tuple(needle(word) for word in words) for words in entry["all"])
            rules.append(Rule(entry["category"], entry["level"], groups))
    return rules


def harmless(folder: Path) -> Needles:
    """The phrases that are taken out of a text before rules look at it, the longest first."""
    phrases = tomllib.loads((folder / "harmless.toml").read_text())["phrases"]
    return tuple(sorted(map(needle, phrases), key=len, reverse=True))


def needle(word: str) -> str:
    """What a word or phrase of a rule looks like in a text; `*` at its end stands for more letters.

    Chinese and Japanese put no space between words: theirs are found anywhere.
    """
    if "*" in word[:-1]:
        raise ValueError(f"{word!r}: * stands at the end of a phrase only")
    text = words_of(folded(word))
    if UNSPACED.search(word):
        return text.strip()
    return text.rstrip() if word.endswith("*") else text


def folded(text: str) -> str:
    """`text` in plain small letters."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
