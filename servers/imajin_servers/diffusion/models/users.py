"""Who needs a model at the moment."""

from __future__ import annotations

from collections.abc import Callable

from imajin_servers.diffusion.feed import Feed
from imajin_servers.runtime.errors import ImajinError

Stop = Callable[[ImajinError], None]
"""Makes a denoising stop, with an error."""


class Users:
    """Feeds of the generations that need a model, each with what makes its denoising stop. Use it in the event loop."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.stops: dict[Feed, Stop] = {}
        self.priorities: dict[Feed, int] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self.stops)

    @property
    def priority(self) -> int:
        """That of the most urgent."""
        return max(self.priorities.values(), default=50)

    def enter(self, feed: Feed, priority: int) -> None:
        """One more needs it; there is nothing to stop yet."""
        self.priorities[feed] = priority
        self.stops[feed] = lambda error: None

    def leave(self, feed: Feed) -> None:
        """One needs it no more."""
        del self.stops[feed], self.priorities[feed]

    def denoised(self, feed: Feed) -> None:
        """There is nothing to stop any more, and nothing that is held for it."""
        if feed in self.stops:
            self.stops[feed] = lambda error: None

    def denoises(self, feed: Feed, stop: Stop) -> None:
        """From here on `stop` ends the denoising."""
        self.stops[feed] = stop

    def stop(self, feed: Feed, error: ImajinError) -> None:
        """Ends the denoising of one with `error`."""
        self.stops[feed](error)

    def stop_all(self, error: ImajinError) -> None:
        """Ends every denoising with `error`."""
        for stop in list(self.stops.values()):
            stop(error)

    def tell_waiting(self, position: int, requested: int, available: int) -> None:
        """Everybody hears that the model waits for room, in bytes."""
        for feed in self.stops:
            feed.waiting_for_vram(position, requested, available)

    def tell_loading(self, loaded: int, total: int) -> None:
        """Everybody hears how far loading is, in bytes."""
        for feed in self.stops:
            feed.loading(self.model, loaded, total)
