"""One picture in many sizes: the batch, its plan (which bases are drawn, which size is cut from which), and the named sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

from imajin.common.v1 import model_pb2
from imajin.orchestrator.v1 import orchestrator_pb2
from imajin_client.calls import Calls
from imajin_client.drawing import DrawOptions, fields
from imajin_client.filled import filled
from imajin_client.job import Job
from imajin_client.names import Style, value


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


class Sizing(Calls):
    """What the client asks about many sizes."""

    async def batch_sizes(
        self,
        prompt: str,
        *,
        sizes: Sequence[str],
        request_id: str = "",
        timeout: float | None = 30,
        **options: Unpack[DrawOptions],
    ) -> Job:
        """Submits one picture in many sizes, by name (`hero`) or `WxH`, cut from the fewest bases of one seed."""
        request = filled(
            orchestrator_pb2.SubmitBatchSizesRequest,
            prompt=prompt,
            sizes=list(sizes),
            request_id=request_id,
            **fields(**options),
        )
        call = self._wire.orchestrator.SubmitBatchSizes(request, timeout=timeout)
        answer = await self._wire.one("orchestrator", call)
        return Job.submitted(answer.job_id, answer.status, "batch-sizes", prompt)

    async def plan_sizes(
        self, sizes: Sequence[str], *, model: str = "", style: Style | None = None, timeout: float | None = 30
    ) -> Plan:
        """Says which bases a batch would draw, and which size would be cut from which. Draws nothing."""
        wanted = value(model_pb2.ModelStyle, style, "style")
        request = orchestrator_pb2.PlanBatchSizesRequest(sizes=list(sizes), model=model, style=wanted)
        call = self._wire.orchestrator.PlanBatchSizes(request, timeout=timeout)
        return Plan.from_proto(await self._wire.one("orchestrator", call))

    async def sizes(self, *, timeout: float | None = 30) -> dict[str, tuple[int, int]]:
        """The named sizes that a batch knows: name to (width, height) in pixels."""
        call = self._wire.orchestrator.ListSizes(orchestrator_pb2.ListSizesRequest(), timeout=timeout)
        answer = await self._wire.one("orchestrator", call)
        return {name: (answer.sizes[name].width, answer.sizes[name].height) for name in sorted(answer.sizes)}
