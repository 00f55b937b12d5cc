"""What can be done with an image, and which files a list of operations means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from imajin_servers.processing import crop, derivatives
from imajin_servers.processing.encode import Recipe
from imajin_servers.processing.focal.point import Focus
from imajin_servers.processing.picture import Picture
from imajin_servers.processing.pipeline import Cleaned, Cropped, Output, Resized, Work
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.runtime.errors import InvalidArgument

Operation = Literal["sanitize", "optimize", "convert-webp", "derivatives", "detect-focal-point", "clip-focal"]
DEFAULT: tuple[Operation, ...] = ("optimize", "convert-webp", "derivatives")
FOCAL: frozenset[Operation] = frozenset({"detect-focal-point", "clip-focal"})


@dataclass(frozen=True)
class Request:
    """What to do with an image."""

    operations: Sequence[Operation] = DEFAULT
    family: str = ""
    size: tuple[int, int] | None = None
    """Width and height to crop to, in pixels."""
    target: float = 0.0
    """How near everything that is encoded shall look to its pixels, in place of a quality; 0 for none."""

    @property
    def needs_focus(self) -> bool:
        """Whether the focal point has to be known."""
        return any(operation in FOCAL for operation in self.operations)


@dataclass(frozen=True)
class Plan:
    """The files to make. The main image is the first; then come the variants, then the derivatives."""

    variants: Sequence[Output]
    derivatives: Sequence[Output]
    main: Output

    @property
    def outputs(self) -> list[Output]:
        """All of them."""
        return [self.main, *self.variants, *self.derivatives]


def check(request: Request, settings: ProcessingSettings) -> None:
    """Raises InvalidArgument or NotFound for what is wrong whatever the image is."""
    if "clip-focal" in request.operations and request.size is None:
        raise InvalidArgument.field("size", "is needed by clip-focal")
    if request.family:
        derivatives.family_named(request.family, settings.families)


def plan(request: Request, picture: Picture, focus: Focus | None, settings: ProcessingSettings) -> Plan:
    """The files that `request` means for `picture`. Raises InvalidArgument when a crop would have to be enlarged too far.

    Each is made from the decoded picture, never from another operation's output. When no operation makes a main image,
    the picture as convert-webp makes it is the main image.
    """
    images: list[tuple[str, Work]] = []
    for operation in request.operations:
        work = image_work(operation, request, picture, focus, settings)
        if work is not None:
            images.append((operation, work))
    if not images:
        images.append(("convert-webp", whole(picture, settings.convert_quality, request.target)))
    *earlier, (name, work) = images
    variants = [Output(index, name, work) for index, (name, work) in enumerate(earlier, start=1)]
    responsive: list[Output] = []
    if "derivatives" in request.operations:
        family, widths, formats = derivatives.chosen(request.family, (), (), settings.families, settings.default_family)
        planned = derivatives.plan(family, widths, formats, (picture.width, picture.height), request.target)
        responsive = derivative_outputs(planned, settings, len(variants) + 1)
    return Plan(variants, responsive, Output(0, name, work))


def image_work(
    operation: Operation, request: Request, picture: Picture, focus: Focus | None, settings: ProcessingSettings
) -> Work | None:
    """How `operation` makes an image; None when it makes none."""
    match operation:
        case "sanitize":
            return Cleaned()
        case "optimize":
            return whole(picture, settings.optimize_quality, request.target)
        case "convert-webp":
            return whole(picture, settings.convert_quality, request.target)
        case "clip-focal" if focus is not None and request.size is not None:
            cut = cut_around(focus, picture, request.size, settings.max_upscale)
            recipe = Recipe("webp", settings.encoders.webp_quality, target=request.target)
            return Cropped(cut, *request.size, recipe.settled(settings.encoders))
        case _:
            return None


def whole(picture: Picture, quality: int, target: float) -> Resized:
    """The picture at its own size as WebP, at `quality`, or at what reaches `target` where one is given."""
    return Resized(picture.width, picture.height, Recipe("webp", 0 if target else quality, target=target))


def cut_around(focus: Focus, picture: Picture, size: tuple[int, int], max_upscale: float) -> crop.Cut:
    """The cut of `picture` for `size` around `focus`."""
    point = focus.x * picture.width, focus.y * picture.height
    faces = focus.boxes if focus.method in ("face", "given") else ()
    return crop.plan((picture.width, picture.height), size, point, faces, max_upscale, focus.subjects)


def derivative_outputs(
    planned: Sequence[derivatives.Derivative], settings: ProcessingSettings, first_index: int
) -> list[Output]:
    """The files of planned derivatives, numbered from `first_index`."""
    return [
        Output(
            first_index + number, item.name, Resized(item.width, item.height, item.recipe.settled(settings.encoders))
        )
        for number, item in enumerate(planned)
    ]
