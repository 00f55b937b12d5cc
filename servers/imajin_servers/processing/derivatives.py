"""Which derivatives a page needs: every width of a family in every encoding, never larger than the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imajin_servers.processing.encode import Recipe
from imajin_servers.processing.settings import Encoding, FamilySettings
from imajin_servers.runtime.errors import InvalidArgument, NotFound

Chosen = tuple[str, Sequence[int], Sequence[Encoding]]
"""Name, widths in pixels, and encodings."""
ADDRESS_DIGITS = 12
"""Of the digest in a file's name: 48 bits, by which a site with a million files has a one in 500 chance of any two alike."""
DEFAULT_FORMATS: tuple[Encoding, ...] = ("webp",)


@dataclass(frozen=True)
class Derivative:
    """One derivative: its stable name, such as `hero-1280.webp`, its size in pixels and how to encode it."""

    name: str
    width: int
    height: int
    recipe: Recipe


def family_named(name: str, families: Mapping[str, FamilySettings]) -> FamilySettings:
    """The family `name` of the settings. Raises NotFound."""
    if name not in families:
        known = ", ".join(families)
        raise NotFound(f"no family {name!r}; there are: {known}", metadata={"name": name, "known": known})
    return families[name]


def plan(
    name: str, widths: Sequence[int], formats: Sequence[Encoding], source: tuple[int, int], target: float = 0.0
) -> list[Derivative]:
    """The derivatives of `source` (width, height), by width, then by encoding; each with the quality `target` where one is given.

    Widths above the source's are left out. When that leaves none, the source's own width stands in, so that a page gets
    its picture at the best size there is.
    """
    kept = sorted(width for width in widths if width <= source[0]) or [source[0]]
    return [
        Derivative(
            f"{name}-{width}.{extension(encoding)}", width, height_at(width, source), Recipe(encoding, target=target)
        )
        for width in kept
        for encoding in formats
    ]


def height_at(width: int, source: tuple[int, int]) -> int:
    """The height that keeps the aspect, in whole pixels, at least 1."""
    return max(1, round(source[1] * width / source[0]))


def extension(format: str) -> str:
    """How the name of a file in `format` ends."""
    return "jpg" if format == "jpeg" else format


def file_name(name: str, format: str, digest: str) -> str:
    """`name` as the address of its content: `hero-1280.webp` becomes `hero-1280.3fa9c1d2e4b5.webp`.

    `digest` is hexadecimal. Whoever keeps a file of this name never has to ask whether it is still the right one.
    """
    ending = extension(format)
    return f"{name.removesuffix(f'.{ending}')}.{digest[:ADDRESS_DIGITS]}.{ending}"


def chosen(
    family: str,
    widths: Sequence[int],
    formats: Sequence[Encoding],
    families: Mapping[str, FamilySettings],
    default: str,
) -> Chosen:
    """Name, widths and encodings that a request means: its own widths, or those of the family it names, or of the default.

    Raises InvalidArgument when it names both.
    """
    if widths and family:
        raise InvalidArgument.field("widths", "give a family or widths, not both")
    if widths:
        return "image", widths, formats or DEFAULT_FORMATS
    named = family or default
    settings = family_named(named, families)
    return named, settings.widths, formats or settings.formats
