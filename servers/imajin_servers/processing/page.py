"""Derivatives as they stand in a page: `srcset`, `sizes`, and the element that holds them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from imajin_servers.processing.settings import Encoding

WIDELY_KNOWN: tuple[Encoding, ...] = ("jpeg", "png", "webp", "avif")
"""Encodings, the one that the most browsers know first."""
SAFE = "%/:@?&=+$;~!*'()#[]"
"""What an address may hold; a comma or a space would end it in a `srcset`."""


@dataclass(frozen=True)
class File:
    """One derivative: the name that it is served under, and what it is."""

    name: str
    format: Encoding
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True)
class Place:
    """How the derivatives stand in a page; see PageSpec of the contract."""

    sizes: str = ""
    alt: str = ""
    url_prefix: str = ""
    eager: bool = False


@dataclass(frozen=True)
class Source:
    """The derivatives of one encoding: its media type, and every file with its width."""

    type: str
    srcset: str


@dataclass(frozen=True)
class Page:
    """What a page's author needs."""

    html: str
    sources: tuple[Source, ...]
    src: str
    sizes: str
    width: int
    height: int


def page(files: Sequence[File], place: Place, thumb_hash: str = "") -> Page:
    """The element for `files`, of which there is at least one.

    Browsers take the first encoding that they know, so the one of the fewest bytes comes first. The encoding that the most browsers
    know is in the `<img>` itself; one that takes more bytes than that is left out. Width and height are those of the largest file,
    which gives browsers the aspect before anything has arrived.
    """
    by_format: dict[Encoding, list[File]] = {}
    for file in sorted(files, key=lambda file: file.width):
        by_format.setdefault(file.format, []).append(file)
    plain = min(by_format, key=WIDELY_KNOWN.index)
    weights = {each: sum(file.size_bytes for file in by_format[each]) for each in by_format}
    lighter: list[Encoding] = [each for each in by_format if weights[each] < weights[plain]]
    better: list[Encoding] = sorted(lighter, key=lambda each: weights[each])
    sources = tuple(
        Source(f"image/{each}", ", ".join(f"{address(file, place)} {file.width}w" for file in by_format[each]))
        for each in (*better, plain)
    )
    largest = by_format[plain][-1]
    src, sizes = address(largest, place), place.sizes or "100vw"
    attributes = {
        "src": src,
        "srcset": sources[-1].srcset,
        "sizes": sizes,
        "width": str(largest.width),
        "height": str(largest.height),
        "alt": place.alt,
        **({"fetchpriority": "high"} if place.eager else {"loading": "lazy"}),
        "decoding": "async",
        **({"data-thumb-hash": thumb_hash} if thumb_hash else {}),
    }
    html = tag("img", attributes)
    if better:
        choices = [
            tag("source", {"type": source.type, "srcset": source.srcset, "sizes": sizes}) for source in sources[:-1]
        ]
        html = "\n".join(["<picture>", *(f"  {line}" for line in (*choices, html)), "</picture>"])
    return Page(html, sources, src, sizes, largest.width, largest.height)


def address(file: File, place: Place) -> str:
    """Where a browser finds `file`."""
    return quote(place.url_prefix + file.name, safe=SAFE)


def tag(name: str, attributes: dict[str, str]) -> str:
    """An element without content."""
    said = (f'{key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name} {' '.join(said)}>"
