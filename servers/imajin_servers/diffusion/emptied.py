"""Errors that keep no tensors: the frames of a traceback hold all that was there when it was raised, and so do those that called them."""

from __future__ import annotations

import traceback
from asyncio import CancelledError
from typing import TypeVar

from imajin_servers.runtime.errors import ImajinError

E = TypeVar("E", bound=BaseException)


def emptied(error: E) -> E:
    """`error` and what it came from, with notes in place of their tracebacks.

    Else a pass that found no memory would keep what it had for as long as somebody looks at its error, and whoever tries again
    would find none either.
    """
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if link.__traceback__ is not None and not isinstance(link, ImajinError | CancelledError):
            link.add_note("".join(traceback.format_tb(link.__traceback__)))
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
