"""A model in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from imajin_servers.diffusion.engine import Engine
from imajin_servers.diffusion.pipelines import Stepwise, Whole
from imajin_servers.diffusion.previews import Previewer


@dataclass
class Loaded:
    """A pipeline in memory, with what drives it. Families that go step by step have an engine and previews."""

    pipeline: Stepwise | Whole
    engine: Engine | None
    previewer: Previewer | None

    def pause(self) -> None:
        """Returns when no step is taken any more. Blocking."""
        if self.engine is not None:
            self.engine.pause()

    def resume(self) -> None:
        """Goes on after `pause`."""
        if self.engine is not None:
            self.engine.resume()

    def move(self, device: torch.device) -> None:
        """Takes the weights to `device`, and what the engine holds. Only while nobody uses them. Blocking."""
        (self.pipeline if self.engine is None else self.engine).move(device)

    def close(self) -> None:
        """Ends the engine. Blocking."""
        if self.engine is not None:
            self.engine.close()
