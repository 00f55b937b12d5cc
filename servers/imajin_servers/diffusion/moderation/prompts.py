"""Rules over prompts, from the data files in `rules/`.

A rule is a category, a level and groups of words; it holds where every group has a word in the text. Text is folded first:
letters without accents, look-alikes and digits that stand for letters as those letters, joiners dropped.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imajin_servers.runtime.errors import ContentRejected

RULES = Path(__file__).parent / "rules"
LEVELS = ("off", "standard", "strict")
LOOKALIKES = str.maketrans("0134578@$аеорсухі", "oieastbasaeopcyxi")


@dataclass(frozen=True)
class Rule:
    """Refuses from `level` on what has a match of every pattern; level `off` always."""

    category: str
    level: str
    patterns: tuple[re.Pattern[str], ...]

    def holds(self, text: str) -> bool:
        """Whether folded `text` breaks the rule."""
        return all(pattern.search(text) for pattern in self.patterns)


class Prompts:
    """The rules that apply at `level`."""

    def __init__(self, level: Literal["off", "standard", "strict"]) -> None:
        reach = LEVELS.index(level)
        self.rules = [rule for rule in read(RULES) if LEVELS.index(rule.level) <= reach]

    def check(self, prompt: str) -> None:
        """Raises ContentRejected where a rule holds."""
        plain, looked = folded(prompt), folded(prompt).translate(LOOKALIKES)
        for rule in self.rules:
            if rule.holds(plain) or rule.holds(looked):
                raise ContentRejected(
                    f"the prompt was refused by moderation: {rule.category}",
                    metadata={"stage": "prompt", "category": rule.category},
                )


def read(folder: Path) -> list[Rule]:
    """The rules in the files of `folder`."""
    rules = []
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["rule"]:
            patterns = tuple(pattern(words) for words in entry["all"])
            rules.append(Rule(entry["category"], entry["level"], patterns))
    return rules


def pattern(words: list[str]) -> re.Pattern[str]:
    """Any of `words`, whole; `*` at an end stands for more letters, a space for anything that parts words."""
    parts = [re.escape(folded(word)).replace(r"\*", r"\w*").replace(r"\ ", r"[\W_]+") for word in words]
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")


def folded(text: str) -> str:
    """`text` in plain small letters."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
