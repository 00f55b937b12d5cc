"""What a manifest says, in the words of C2PA 2.2 (18.14 Actions, 18.16 Ingredient) as the SDK takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
GENERATED = frozenset({TRAINED, COMPOSITE})
"""Source types of what a model made, wholly or in part."""
MARK_ASSERTION = "io.imajin.mark"
PROMPT_ASSERTION = "io.imajin.prompt"
PARENT = "parent"


@dataclass(frozen=True)
class Created:
    """A picture that a model drew."""

    model: str
    when: datetime
    prompt: str = ""
    """Empty where it stays private."""
    composite: bool = False
    """Whether a picture that somebody brought is part of it."""


@dataclass(frozen=True)
class Parent:
    """The image that another one is made of, as the other's manifest holds it: read and judged once, used for each file."""

    archive: bytes = b""
    """An ingredient that the SDK packed; empty where `definition` and `manifest` say it."""
    definition: dict[str, Any] | None = None
    manifest: bytes = b""
    composite: bool = False
    """Whether a picture that somebody brought is part of it."""


@dataclass(frozen=True)
class Derived:
    """An image made of a generated one."""

    parent: Parent
    actions: Sequence[str]
    """What was done, such as `c2pa.resized`, in order."""
    when: datetime


Statement = Created | Derived


@cache
def own_version() -> str:
    """The suite's version, read once: parsing the installed package's metadata takes a fifth of a signature's time."""
    return version("imajin")


def definition(statement: Statement, media_type: str, title: str, content_id: str) -> dict[str, Any]:
    """The manifest that says `statement` of a file. `content_id` is the one in the file's invisible mark; empty where there is none."""
    when = statement.when.strftime("%Y-%m-%dT%H:%M:%SZ")
    said: dict[str, Any] = {
        "claim_generator_info": [{"name": "imajin", "version": own_version()}],
        "title": title,
        "format": media_type,
    }
    assertions: list[dict[str, Any]] = []
    match statement:
        case Created():
            actions = [
                {
                    "action": "c2pa.created",
                    "when": when,
                    "digitalSourceType": COMPOSITE if statement.composite else TRAINED,
                    "softwareAgent": {"name": statement.model},
                }
            ]
            if statement.prompt:
                assertions.append({"label": PROMPT_ASSERTION, "data": {"prompt": statement.prompt}})
        case Derived():
            opened = {"action": "c2pa.opened", "when": when, "parameters": {"ingredientIds": [PARENT]}}
            # Said again in each manifest, for readers that look at the last one alone.
            actions = [opened | {"digitalSourceType": COMPOSITE if statement.parent.composite else TRAINED}]
            actions += [{"action": action, "when": when} for action in statement.actions]
            if statement.parent.definition is not None:
                said["ingredients"] = [statement.parent.definition]
    if content_id:
        actions.append({"action": "c2pa.watermarked.unbound", "when": when})
        assertions.append({"label": MARK_ASSERTION, "data": {"content_id": content_id}})
    assertions.insert(0, {"label": "c2pa.actions.v2", "data": {"actions": actions}})
    return said | {"assertions": assertions}
