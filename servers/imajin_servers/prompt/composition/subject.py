"""What the picture shows, in the user's own words: the description without what isn't about the picture."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

LONGEST = 240
"""Characters of the description that go into a prompt; text encoders read little more."""
LEAD_IN = re.compile(
    r"^(?:please|kindly|hi|hello|hey|can you|could you|would you|i want(?: to see)?|i need|i(?:'d| would) like(?: to see)?"
    r"|we need|give me|show me|make(?: me)?|draw(?: me)?|paint(?: me)?|create|generate|render|design|imagine"
    r"|(?:an?|the|some)?\s*(?:picture|image|photo|photograph|drawing|painting|illustration|pic|shot)s?\s+(?:of|showing|with|that shows)"
    r"|(?:ein|eine)?\s*(?:bild|foto)\s+(?:von|mit)|une?\s+(?:image|photo)\s+(?:de|d'|avec)|una\s+(?:imagen|foto)\s+de)[\s,:!]+",
    re.IGNORECASE,
)
SEED = re.compile(r"[,;(]?\s*\b(?:with\s+|use\s+)?seed\s*(?:[:=#]|number|no\.?|is)?\s*(\d{1,10})\b\)?", re.IGNORECASE)
SIZE = re.compile(r"[,;(]?\s*\b(?:in|at|size)?\s*\b\d{2,5}\s*[x×]\s*\d{2,5}\b\s*(?:px|pixels)?\)?", re.IGNORECASE)
EXCLUDED = re.compile(
    r"[,;]?\s*\b(?:(?:but|and)\s)?(?:with\sno|no|without(?:\sany)?)\s([\w'-]+(?:\s[\w'-]+){0,3}?)"
    r"(?=[,.;!?]|$|\s(?:and|but|in|on|at)\b)",
    re.IGNORECASE,
)
CLAUSE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\s*;\s*")


@dataclass(frozen=True)
class Subject:
    """`text` is what to draw, `excluded` what the user wants left out, `seed` the one that the text asks for."""

    text: str
    excluded: tuple[str, ...]
    seed: int | None


def plain(text: str) -> str:
    """`text` on one line, composed, without controls and invisible marks (but joiners, which scripts and emoji need)."""
    kept = (
        char
        if unicodedata.category(char) not in ("Cc", "Cs", "Co", "Cn", "Cf", "Zl", "Zp") or char in "\u200c\u200d"
        else " "
        for char in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(kept).split())


def clipped(text: str, longest: int) -> str:
    """`text`, cut at the end of a clause, else of a word, to at most `longest` characters."""
    if len(text) <= longest:
        return text
    head = text[:longest]
    for marks in (".!?;。！？", ",、，", " "):
        at = max(head.rfind(mark) for mark in marks)
        if at > longest // 2:
            return head[:at]
    return head


def subject_of(description: str) -> Subject:
    """What `description` is about. `text` is empty only where the description holds nothing that can be read."""
    whole = plain(description)
    seeds = [int(match[1]) for match in SEED.finditer(whole)]
    excluded = tuple(match[1].strip() for match in EXCLUDED.finditer(whole))
    text = SIZE.sub("", SEED.sub("", EXCLUDED.sub("", whole)))
    previous = None
    while previous != text:
        previous, text = text, LEAD_IN.sub("", text.strip())
    clauses = [clause.strip(" ,.;:!。！") for clause in CLAUSE.split(text)]
    text = clipped(", ".join(clause for clause in clauses if clause), LONGEST).strip(" ,.;:")
    seed = next((value for value in seeds if value < 2**32), None)
    return Subject(text or clipped(whole, LONGEST), excluded[:8], seed)
