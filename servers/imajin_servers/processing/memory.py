"""Freed memory, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Gives back what the allocator keeps of freed memory, where it knows how to (glibc). Takes some milliseconds."""
    trim = trimmer()
    if trim is not None:
        trim(0)


@cache
def trimmer() -> Callable[[int], int] | None:
    """`malloc_trim` of the C library; None where there is none."""
    try:
        trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):
        return None
    return trim
