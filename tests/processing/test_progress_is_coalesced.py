"""Progress of a processing: the first and the last always, the rest at most ten a second."""

from __future__ import annotations

from imajin_servers.processing.answers import PROGRESS_SECONDS, Ticker


def test_the_first_and_the_last_are_said_and_between_them_only_after_a_while() -> None:
    now = 100.0
    ticker = Ticker(5, clock=lambda: now)
    first = ticker.now()
    assert first is not None
    assert (first.fraction, first.processing.done, first.processing.total) == (0, 0, 5)
    ticker.done = 1
    assert ticker.now() is None
    now += 1.5 * PROGRESS_SECONDS
    ticker.done = 3
    later = ticker.now()
    assert later is not None
    assert later.processing.done == 3
    ticker.done = 4
    assert ticker.now() is None
    ticker.done = 5
    last = ticker.now()
    assert last is not None
    assert last.fraction == 1
