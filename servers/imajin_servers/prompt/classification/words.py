"""Text as words that can be compared: without case, accents and compatibility forms, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

# Letters that no decomposition reduces to their base, and marks that users leave out (okina, modifier apostrophe).
FOLDED = {"ı": "i", "ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ð": "d", "þ": "th", "ə": "e", "Ə": "e", "ʻ": "", "ʼ": ""}  # fmt: skip
# Accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic. Vowel signs of Indic scripts and kana marks are letters: they stay.
ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0640]")
# A character of a script that doesn't set spaces between words (or, in Korean, sets particles behind them) is a word of its
# own, so that a name is found inside a longer run. A "break" is punctuation that no name goes across.
UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
WORD = re.compile(
    f"(?P<char>[{UNSPACED}])"
    f"|(?P<word>(?:(?![{UNSPACED}])(?:[^\\W_]|[\u0900-\u0963\u0966-\u0dff]))+)"
    '|(?P<stop>[,;:!?()\\[\\]{}"\\n\u2014\u3001\u3002\uff0c\u0964\u060c\u061f]|\\.(?=\\s|$))'
)
STOP = ""


class Word(NamedTuple):
    """A word in its comparable form, with its place in the text that it is from. A break has an empty form."""

    form: str
    start: int
    end: int


class Forms(dict[str, str]):
    """Comparable form of each character, worked out once."""

    def __missing__(self, char: str) -> str:
        """Folds `char`."""
        wide = unicodedata.normalize("NFKC", char)
        plain = ACCENTS.sub("", unicodedata.normalize("NFD", "".join(FOLDED.get(part, part) for part in wide)))
        self[char] = form = "".join(
            FOLDED.get(part, part) for part in unicodedata.normalize("NFC", plain).casefold() if not ACCENTS.match(part)
        )
        return form


# At most one entry for each character of Unicode.
FORMS = Forms()


def split(text: str) -> list[Word]:
    """`text` as words and breaks."""
    if text.isascii():
        return [
            Word(STOP if match.lastgroup == "stop" else match[0], match.start(), match.end())
            for match in WORD.finditer(text.lower())
        ]
    forms = [FORMS[char] for char in text]
    folded = "".join(forms)
    origin: Sequence[int] = range(len(text))
    if len(folded) != len(text) or not all(forms):
        origin = [index for index, form in enumerate(forms) for _ in form]
    return [
        Word(STOP if match.lastgroup == "stop" else match[0], origin[match.start()], origin[match.end() - 1] + 1)
        for match in WORD.finditer(folded)
    ]


def phrase(text: str) -> tuple[str, ...]:
    """The forms of `text`, without breaks: how a name of the data is looked up."""
    return tuple(word.form for word in split(text) if word.form)
