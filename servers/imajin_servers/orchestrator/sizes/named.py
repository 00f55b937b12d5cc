"""Sizes as callers write them: by name, or as `WxH`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imajin_servers.runtime.errors import InvalidArgument, NotFound

Pixels = tuple[int, int]
"""Width and height."""
FREE_SIZE = re.compile(r"([0-9]+)[xX]([0-9]+)")
SMALLEST_EDGE = 16
LARGEST_EDGE = 8192
"""The contract's limit of a crop."""


@dataclass(frozen=True)
class WantedSize:
    """A size of a batch: as it was requested, and in pixels."""

    name: str
    width: int
    height: int


def wanted(requested: Sequence[str], known: Mapping[str, Pixels]) -> list[WantedSize]:
    """The `requested` sizes in pixels, in order.

    Raises InvalidArgument for a `WxH` out of bounds, NotFound for a name that is not `known`.
    """
    return [one(index, text, known) for index, text in enumerate(requested)]


def one(index: int, text: str, known: Mapping[str, Pixels]) -> WantedSize:
    """The size at `index` of a request."""
    found = FREE_SIZE.fullmatch(text)
    if not found:
        if text not in known:
            names = ", ".join(known)
            message = f"no size {text!r}; there are: {names}, and any WxH such as 800x600"
            raise NotFound(message, metadata={"name": text, "known": names})
        return WantedSize(text, *known[text])
    width, height = int(found[1]), int(found[2])
    for edge in (width, height):
        if not SMALLEST_EDGE <= edge <= LARGEST_EDGE:
            raise InvalidArgument.field(
                f"sizes[{index}]", f"{text}: each edge must be {SMALLEST_EDGE} to {LARGEST_EDGE} pixels"
            )
    return WantedSize(text, width, height)
