"""Named sizes, and the plan of a batch: which bases would be drawn, and which size is cut from which."""

from __future__ import annotations

from dataclasses import dataclass

from imajin.orchestrator.v1 import orchestrator_pb2


@dataclass(frozen=True)
class PlannedBase:
    """A base to draw, in pixels."""

    name: str
    """`landscape`, `square` or `portrait`."""
    width: int
    height: int


@dataclass(frozen=True)
class PlannedCrop:
    """A size to cut, in pixels."""

    name: str
    width: int
    height: int
    base: str
    """Name of the base that it is cut from."""
    upscale: float
    """How far the cut is enlarged; 1 and below means that it is not."""
    kept: float
    """Share of the base's area that the cut keeps, 0 to 1."""


@dataclass(frozen=True)
class Plan:
    """How a batch would be drawn."""

    bases: tuple[PlannedBase, ...]
    crops: tuple[PlannedCrop, ...]
    """In the order of the request."""

    @classmethod
    def from_proto(cls, plan: orchestrator_pb2.PlanBatchSizesResponse) -> Plan:
        """From the contract's message."""
        return cls(
            bases=tuple(PlannedBase(base.name, base.width, base.height) for base in plan.bases),
            crops=tuple(
                PlannedCrop(crop.name, crop.width, crop.height, crop.base, crop.upscale, crop.kept)
                for crop in plan.crops
            ),
        )
