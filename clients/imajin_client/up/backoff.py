"""How long to wait before a restart."""

from __future__ import annotations


class Backoff:
    """Pauses that double from `first` to `limit` seconds, and start over after `settle` seconds of health."""

    def __init__(self, first: float, limit: float, settle: float) -> None:
        self.first = first
        self.limit = limit
        self.settle = settle
        self.crashes = 0

    def after(self, served: float) -> float:
        """The pause after a run that served for `served` seconds (0 where it never did)."""
        if served >= self.settle:
            self.crashes = 0
        self.crashes += 1
        # 2 to the 40th is beyond any limit, and keeps the float finite.
        return min(self.first * 2.0 ** min(self.crashes - 1, 40), self.limit)
