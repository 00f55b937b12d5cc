"""Which things training showed together."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import compose
import numpy as np


def named_together(shards: Path, composer: compose.Composer) -> frozenset[frozenset[str]]:
    """Pairs of things that some picture's captions name, by name or synonym."""
    meant = {word.lower(): c.name for c in composer.known.values() for word in (c.name, *c.synonyms)}
    any_of = "|".join(sorted(map(re.escape, meant), key=len, reverse=True))
    words = re.compile(rf"\b({any_of})(?:s|es)?\b")
    pairs: set[frozenset[str]] = set()
    for file in sorted(shards.glob("shard-*.npz")):
        for said in np.load(file)["captions"]:
            shown = {meant[word] for word in words.findall(" ; ".join(said).lower())}
            pairs |= {frozenset(pair) for pair in combinations(shown, 2)}
    return frozenset(pairs)
