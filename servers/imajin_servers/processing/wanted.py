"""Whether anybody still waits for what a thread works on. Work in several steps asks between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Unwanted(Exception):
    """The call that this work was for is over. Its result would go nowhere, and neither does this."""


here = threading.local()


@contextmanager
def until(over: Callable[[], bool]) -> Iterator[None]:
    """Within this, in this thread, work is wanted until `over` says otherwise."""
    here.over = over
    try:
        yield
    finally:
        here.over = None


def check() -> None:
    """Raises Unwanted when nobody waits for what this thread works on."""
    over: Callable[[], bool] | None = getattr(here, "over", None)
    if over is not None and over():
        raise Unwanted
