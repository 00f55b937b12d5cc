"""Text as words that can be compared: without case, accents and compatibility forms, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

# Letters that no decomposition reduces to their base, and marks that users leave out (okina, modifier apostrophe).
FOLDED = {"ı": "i", "ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ð": "d", "þ": "th", "ə": "e", "Ə": "e", "ʻ": "", "ʼ": ""}  # fmt: skip
# Accents of Latin, Greek and Cyrillic, points of Hebrew and Arabic. Vowel signs of Indic scripts and kana marks are letters: they stay.
ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0640]")
# A character of a script that doesn't set spaces between words (or, in Korean, sets particles behind them) is a word of its
# own, so that a name is found inside a longer run. A break is punctuation that no name goes across: a word that none contains.
UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
BREAKS = ',;:!?()[]{}"\n\u2014\u3001\u3002\uff0c\u0964\u060c\u061f.'
WORD = re.compile(
    f"[{UNSPACED}]"
    f"|(?:(?![{UNSPACED}])(?:[^\\W_]|[\u0900-\u0963\u0966-\u0dff]))+"
    f"|[{re.escape(BREAKS[:-1])}]|(?<!\\bst)(?<!\\bmt)\\.(?=\\s|$)"
)


@dataclass(frozen=True)
class Text:
    """A text as words in their comparable form, breaks among them."""

    original: str
    folded: str
    forms: Sequence[str]
    words: list[str]

    @cached_property
    def origin(self) -> Sequence[int]:
        """Which character of the original each one of the folded text comes from."""
        if len(self.folded) == len(self.original) and all(self.forms):
            return range(len(self.folded))
        return [index for index, form in enumerate(self.forms) for _ in form]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Where each word lies in the folded text. Worked out only when something was found: it costs more than splitting."""
        return [match.span() for match in WORD.finditer(self.folded)]

    def quote(self, first: int, last: int) -> str:
        """The words `first` to `last` (exclusive) as they stand in the original."""
        start, end = self.spans[first][0], self.spans[last - 1][1]
        return self.original[self.origin[start] : self.origin[end - 1] + 1]


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


def split(text: str) -> Text:
    """`text` as words and breaks."""
    if text.isascii():
        folded = text.lower()
        return Text(text, folded, folded, WORD.findall(folded))
    forms = [FORMS[char] for char in text]
    folded = "".join(forms)
    return Text(text, folded, forms, WORD.findall(folded))


def phrase(text: str) -> tuple[str, ...]:
    """The words of `text`, without breaks: how a name of the data is looked up."""
    return tuple(word for word in split(text).words if word not in BREAKS)
