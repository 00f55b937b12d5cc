"""A time stamp authority that may be slow, gone or talking nonsense: an image never waits longer for it than it may.

The SDK asks the authority while it signs, and knows no limit of ours. So that signing is done in a thread of its own, and
left behind when it takes too long; the SDK gives up by itself after some more time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import structlog

log = structlog.get_logger()

AT_ONCE = 8
"""Requests under way, those left behind included; above, images go without a time stamp."""
PAUSE_SECONDS = 60.0
"""How long an authority that failed is not asked again: else every image would wait for it in turn."""


class Authority:
    """Asks one authority, `seconds` long at most. Safe in threads."""

    def __init__(self, address: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.address = address
        self.seconds = seconds
        self.clock = clock
        self.asked_again_at = clock()
        self.room = threading.BoundedSemaphore(AT_ONCE)

    def stamped(self, sign: Callable[[], bytes]) -> bytes | None:
        """What `sign`, which asks the authority, gives; None, and a line in the log, where the authority failed."""
        if self.clock() < self.asked_again_at or not self.room.acquire(blocking=False):
            return None
        answer: Future[bytes] = Future()

        def ask() -> None:
            try:
                answer.set_result(sign())
            except Exception as error:
                answer.set_exception(error)
            finally:
                self.room.release()

        # A daemon, so that a server that stops doesn't wait for an authority.
        threading.Thread(target=ask, name="time-stamp", daemon=True).start()
        try:
            return answer.result(self.seconds)
        except TimeoutError:
            self.pause(f"no answer within {self.seconds:g} seconds")
        except Exception as error:
            self.pause(str(error))
        return None

    def pause(self, error: str) -> None:
        """Leaves the authority alone for a while."""
        self.asked_again_at = self.clock() + PAUSE_SECONDS
        log.warning(
            "images leave without a time stamp", authority=self.address, error=error[:500], for_seconds=PAUSE_SECONDS
        )
