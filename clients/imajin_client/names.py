"""The contract's enum values by the words that people use: `IMAGE_FORMAT_WEBP` is `webp`, `JOB_KIND_BATCH_SIZES` is `batch-sizes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from imajin_client.errors import InvalidArgument, Violation

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper as Enum

Format = Literal["png", "jpeg", "webp", "avif", "raw-rgb8"]
"""Encodings of an image; `raw-rgb8` is bare pixels."""
Style = Literal["photorealistic", "anime"]
"""Styles of an image model."""
Scheduler = Literal[
    "ddim",
    "ddpm",
    "pndm",
    "euler",
    "euler-karras",
    "euler-ancestral",
    "heun",
    "dpm2",
    "dpm2-ancestral",
    "dpmpp2m",
    "dpmpp2m-karras",
    "dpmpp2m-sde",
    "dpmpp2m-sde-karras",
    "unipc",
    "deis",
    "lcm",
]
"""How the noise is taken away, step by step."""
Area = Literal["image", "mask"]
"""How much of an image is drawn to paint what a mask shows: all of it, or the mask's surroundings."""
Operation = Literal["sanitize", "optimize", "convert-webp", "derivatives", "detect-focal-point", "clip-focal"]
"""What can be done with an image."""
Anchor = Literal["top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right"]
"""Nine places in an image."""
JobStatus = Literal["queued", "processing", "completed", "failed", "cancelled"]
"""Statuses of a job; the last three are final."""
SOURCES: frozenset[str] = frozenset({"gif"})
"""Formats that are taken and never made: nobody can ask for them."""
FINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
"""Statuses after which nothing changes."""


def prefix(enum: Enum) -> str:
    """What every value's name begins with, such as `IMAGE_FORMAT_`."""
    return enum.Name(0).removesuffix("UNSPECIFIED")


def word(enum: Enum, value: int) -> Any:
    """The word for `value`; empty for the unspecified one, and the number where this client is older than the server."""
    if value == 0:
        return ""
    if value not in enum.values():
        return str(value)
    return enum.Name(value).removeprefix(prefix(enum)).lower().replace("_", "-")


def names(enum: Enum) -> list[str]:
    """All values' names in the contract. The wrapper is no mapping, whatever its methods are called."""
    return list(enum.keys())


def words(enum: Enum) -> list[str]:
    """All words of an enum."""
    return [word(enum, value) for value in enum.values() if value != 0]


def value(enum: Enum, text: str | None, field: str) -> Any:
    """The value for the word `text`; unspecified for none. Raises InvalidArgument, naming `field`, for an unknown word."""
    if not text:
        return 0
    plain = text.strip().lower().replace("_", "-")
    plain = {"jpg": "jpeg", "centre": "center", "raw": "raw-rgb8"}.get(plain, plain)
    name = prefix(enum) + plain.upper().replace("-", "_")
    if plain == "unspecified" or plain in SOURCES or name not in names(enum):
        known = ", ".join(word for word in words(enum) if word not in SOURCES)
        description = f"no such {field} {text!r}; there are: {known}"
        raise InvalidArgument(description, violations=[Violation(field, description)])
    return enum.Value(name)
