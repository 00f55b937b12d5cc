"""The planner of bases: the fewest pictures to draw so that every size can be cut from one of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from imajin_servers.orchestrator.sizes.named import Pixels, WantedSize
from imajin_servers.runtime.errors import InvalidArgument

ROUNDING = 1e-9
"""Ratios of pixels are compared with this slack: 1200/480 of 3/2 keeps 0.6, not 0.6 less an ulp."""


@dataclass(frozen=True)
class Base:
    """A picture to draw."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Crop:
    """A size and the base that it is cut from; `upscale` and `kept` as in PlannedCrop."""

    size: WantedSize
    base: Base
    upscale: float
    kept: float


@dataclass(frozen=True)
class Plan:
    """The bases to draw and, in the order of the request, the sizes to cut."""

    bases: tuple[Base, ...]
    crops: tuple[Crop, ...]

    @property
    def canvas(self) -> Pixels:
        """Width and height of what all bases fit into: the field of noise that they share."""
        return max(base.width for base in self.bases), max(base.height for base in self.bases)


def named_bases(sizes: Sequence[Pixels]) -> list[Base]:
    """Bases of these `sizes`, named after their shape; a second one of a shape also carries its size."""
    bases: dict[str, Base] = {}
    for width, height in dict.fromkeys(sizes):
        shape = "landscape" if width > height else "portrait" if width < height else "square"
        name = shape if shape not in bases else f"{shape}-{width}x{height}"
        bases[name] = Base(name, width, height)
    return list(bases.values())


def crop(size: WantedSize, base: Base) -> Crop:
    """The largest cut of `base` that has the shape of `size`."""
    horizontal, vertical = size.width / base.width, size.height / base.height
    upscale = max(horizontal, vertical)
    return Crop(size, base, upscale, min(horizontal, vertical) / upscale)


def plan(sizes: Sequence[WantedSize], bases: Sequence[Base], max_upscale: float, min_kept: float) -> Plan:
    """The fewest of `bases` from which every size is cut within `max_upscale`, keeping at least `min_kept` of the base.

    Among equally few the ones that keep most in all; then the least enlarged; then the first. With the handful of bases
    that a model has, trying every subset is exact and fast. Raises InvalidArgument where a size fits no base.
    """

    def allowed(cut: Crop) -> bool:
        return cut.upscale <= max_upscale * (1 + ROUNDING) and cut.kept >= min_kept * (1 - ROUNDING)

    fits = [[cut for cut in (crop(size, base) for base in bases) if allowed(cut)] for size in sizes]
    for size, cuts in zip(sizes, fits, strict=True):
        if not cuts:
            raise infeasible(size, bases, max_upscale, min_kept)
    for count in range(1, len(bases)):
        plans = [found for subset in combinations(bases, count) if (found := cut_from(subset, fits))]
        if plans:
            return max(plans, key=score)
    everything = cut_from(bases, fits)
    assert everything, "each size fits one of all the bases"
    return everything


def cut_from(subset: Sequence[Base], fits: Sequence[Sequence[Crop]]) -> Plan | None:
    """The plan that draws only `subset`, each size cut as `best` as it can; None where a size fits none of it."""
    crops = [best([cut for cut in cuts if cut.base in subset]) for cuts in fits]
    chosen = [cut for cut in crops if cut]
    if len(chosen) < len(crops):
        return None
    used = {cut.base for cut in chosen}
    return Plan(tuple(base for base in subset if base in used), tuple(chosen))


def score(found: Plan) -> tuple[float, float]:
    """Higher is better: all that is kept, then how little is enlarged."""
    return round(sum(cut.kept for cut in found.crops), 9), -round(max(cut.upscale for cut in found.crops), 9)


def best(cuts: Sequence[Crop]) -> Crop | None:
    """The cut that keeps most, then the least enlarged."""
    return max(cuts, key=lambda cut: (round(cut.kept, 9), -round(cut.upscale, 9)), default=None)


def infeasible(size: WantedSize, bases: Sequence[Base], max_upscale: float, min_kept: float) -> InvalidArgument:
    """The error of a size that fits no base: which limit it breaks, and what the limit would have to be."""
    if not bases:
        return InvalidArgument.field("model", "the model has no base sizes, so it can't draw a batch")
    cuts = [crop(size, base) for base in bases]
    shaped = [cut for cut in cuts if cut.kept >= min_kept * (1 - ROUNDING)]
    metadata = {"name": size.name, "max_upscale": f"{max_upscale:g}", "min_kept": f"{min_kept:g}"}
    if shaped:
        nearest = min(shaped, key=lambda cut: cut.upscale)
        factor = max_upscale / nearest.upscale
        largest = f"{int(size.width * factor)}x{int(size.height * factor)}"
        why = (
            f"{size.name} ({size.width}x{size.height}) would be enlarged {nearest.upscale:.2f} times from the "
            f"{nearest.base.name} base of {nearest.base.width}x{nearest.base.height}; the model's limit is "
            f"{max_upscale:g}, so the largest of this shape is {largest}"
        )
        metadata |= {"upscale": f"{nearest.upscale:.4g}", "largest": largest}
    else:
        nearest = max(cuts, key=lambda cut: cut.kept)
        why = (
            f"{size.name} ({size.width}x{size.height}) would keep {nearest.kept:.2f} of the {nearest.base.name} base of "
            f"{nearest.base.width}x{nearest.base.height}; the limit is {min_kept:g}: a shape between "
            f"{shape_limits(bases, min_kept)} fits"
        )
        metadata |= {"kept": f"{nearest.kept:.4g}", "shapes": shape_limits(bases, min_kept)}
    error = InvalidArgument.field("sizes", why)
    error.metadata |= metadata
    return error


def shape_limits(bases: Sequence[Base], min_kept: float) -> str:
    """The narrowest and the widest shape that some base can give, as `W:H` against 1."""
    ratios = [base.width / base.height for base in bases]
    return f"{min(ratios) * min_kept:.2f}:1 and {max(ratios) / min_kept:.2f}:1"
