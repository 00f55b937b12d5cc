"""The concept list (`concepts.txt`) joined with emojibase: names, synonyms and the emoji code points that
picture them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

CONCEPTS_FILE = Path(__file__).with_name("concepts.txt")


@dataclass(frozen=True)
class Concept:
    """One thing the model draws."""

    name: str
    group: str
    labels: tuple[str, ...]  # CLDR labels, without the skin-tone mark
    hexcodes: tuple[str, ...]  # one for each label, lower case, without variation selectors
    toned: tuple[bool, ...]  # whether skin-tone variants of that label are used
    synonyms: tuple[str, ...]
    tags: tuple[str, ...]  # CLDR keywords, single words


def bare(hexcode: str) -> str:
    """A code-point sequence as file names spell it: lower case, without FE0F."""
    return hexcode.lower().replace("-fe0f", "")


def slug(label: str) -> str:
    """A CLDR label as Iconify spells it."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower().replace("’", "").replace("ñ", "n")).strip("-")


def load(emojibase: Path) -> list[Concept]:
    """Read the list; `emojibase` is its English `data.json`. Raises KeyError for a label that emojibase
    doesn't have.
    """
    entries = {e["label"].lower(): e for e in json.loads(emojibase.read_text(encoding="utf8"))}
    group, out = "", []
    for line in CONCEPTS_FILE.read_text(encoding="utf8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            group = line.strip("[]")
            continue
        name, pictures, synonyms = (part.strip() for part in line.split("|"))
        labels = [name if p.strip() == "=" else p.strip() for p in pictures.split(";")]
        toned = tuple(label.startswith("*") for label in labels)
        labels = [label.lstrip("*") for label in labels]
        found = [entries[label.lower()] for label in labels]
        words = {t.replace("_", " ") for e in found for t in e.get("tags", []) if re.fullmatch(r"[a-z]{3,12}", t)}
        out.append(
            Concept(
                name=name,
                group=group,
                labels=tuple(labels),
                hexcodes=tuple(bare(e["hexcode"]) for e in found),
                toned=toned,
                synonyms=tuple(s.strip() for s in synonyms.split(",") if s.strip()),
                tags=tuple(sorted(words - set(name.lower().split()))),
            )
        )
    return out
