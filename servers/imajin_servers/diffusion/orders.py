"""A generation as it is asked for, with every default filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imajin_servers.diffusion.settings import ModelEntry
    from imajin_servers.diffusion.sources import Source


@dataclass(frozen=True)
class LoraWeight:
    """An adapter of the registry, and how strongly it is heard: 1 is as it was trained."""

    name: str
    weight: float = 1.0


@dataclass(frozen=True)
class Order:
    """What to draw. `width` and `height` are those of the finished image, in pixels."""

    model: ModelEntry
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    guidance_scale: float
    seed: int
    preview_interval: int
    priority: int
    scheduler: str = ""
    """One of `pipelines.schedulers.CHOICES`; the model's own when empty."""
    loras: tuple[LoraWeight, ...] = ()
    noise_canvas: tuple[int, int] | None = None
    """Width and height of the field of noise that the picture takes its centre of, in pixels; its own size when None."""
    source: Source | None = None
    """The picture that it begins from, in the size of the finished image; bare noise when None."""
    deadline: float | None = None
    """Until when somebody waits for it, in seconds of the monotonic clock; nobody said when None."""

    @property
    def adapters(self) -> frozenset[str]:
        """Names of its adapters."""
        return frozenset(lora.name for lora in self.loras)

    @property
    def guided(self) -> bool:
        """Whether each step predicts twice: with the prompt and with the negative one."""
        return self.guidance_scale > 1
