"""The sizes that a batch may ask for, and how a model would draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from imajin.common.v1 import model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_servers.orchestrator.sizes.named import Pixels, wanted
from imajin_servers.orchestrator.sizes.planning import Plan, named_bases, plan


class Models(Protocol):
    """Who knows the models."""

    async def model(self, name: str, style: model_pb2.ModelStyle) -> diffusion_pb2.Model:
        """The model of this name or style, or the default one. Raises ModelNotFound."""
        ...


class Sizes:
    """The named sizes, and the plans for requested ones."""

    def __init__(self, named: Mapping[str, Pixels], min_kept: float, models: Models) -> None:
        self.named = named
        self.min_kept = min_kept
        self.models = models

    async def plan(
        self, requested: Sequence[str], model_name: str, style: model_pb2.ModelStyle
    ) -> tuple[diffusion_pb2.Model, Plan]:
        """The model to draw with, and what to draw and cut.

        Raises NotFound for an unknown size, InvalidArgument for one that can't be made, ModelNotFound.
        """
        sizes = wanted(requested, self.named)
        model = await self.models.model(model_name, style)
        bases = named_bases([(size.width, size.height) for size in model.base_sizes])
        return model, plan(sizes, bases, max(model.max_upscale, 1.0), self.min_kept)
