"""Errors that keep no tensors: the frames of a traceback hold all that was there when it was raised."""

from __future__ import annotations

import traceback
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def emptied(error: E) -> E:
    """`error` and what it came from, without the locals of their frames that have ended.

    Else a pass that found no memory would keep what it had for as long as somebody looks at its error.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    return error
