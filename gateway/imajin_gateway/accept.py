"""What a client wants to get, by its Accept header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imajin_gateway.errors import ApiError


def media_types(header: str) -> dict[str, float]:
    """The media ranges of an Accept header with their weights, 0 to 1. What can't be read counts as absent."""
    ranges: dict[str, float] = {}
    for item in header.lower().split(",")[:32]:
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    weight = math.nan
        if "/" in name and not math.isnan(weight):
            ranges[name] = weight
    return ranges


def weight(offer: str, ranges: dict[str, float]) -> tuple[float, int]:
    """How much `offer` is wanted, and how precisely that was said. `image/*` as an offer is met by any image type."""
    kind = offer.split("/")[0]
    if offer.endswith("/*"):
        named = [value for name, value in ranges.items() if name.startswith(f"{kind}/")]
        if named:
            return max(named), 2
    elif offer in ranges:
        return ranges[offer], 2
    for precision, name in ((1, f"{kind}/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], precision
    return 0.0, 0


def choose(ranges: dict[str, float], offers: Sequence[str]) -> str:
    """The best of `offers`, the first being the default. Raises ApiError where none is wanted.

    Among equals the one that was named wins over one that `*/*` let in; text/html, as browsers ask for pages, matches nothing.
    """
    if not ranges:
        return offers[0]
    best = max(offers, key=lambda offer: (*weight(offer, ranges), -offers.index(offer)))
    if weight(best, ranges)[0] <= 0:
        available = ", ".join(offers)
        raise ApiError("NOT_ACCEPTABLE", f"can answer with: {available}", details={"available": available})
    return best
