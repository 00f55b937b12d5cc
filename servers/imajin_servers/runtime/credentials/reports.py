"""What a manifest store says, out of the SDK's words into ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from imajin_servers.runtime.credentials.statements import COMPOSITE, GENERATED, MARK_ASSERTION, PROMPT_ASSERTION

MAX_CHAIN = 64
"""Images on the way from a file back to what it began as; more are not followed."""
MAX_TEXT = 256
MAX_LISTED = 100


class State(Enum):
    """Whether a manifest holds."""

    BROKEN = "broken"
    """It can't be read."""
    INVALID = "invalid"
    """The file was changed after it was signed, or the signature doesn't hold."""
    VALID = "valid"
    """It holds, and nobody that we know vouches for the signer."""
    TRUSTED = "trusted"
    """It holds, and the signer's certificate leads to one that we trust."""


@dataclass(frozen=True)
class Ancestor:
    """An image that the file was made of."""

    title: str
    format: str
    relationship: str
    signed: bool
    """Whether it has a manifest of its own."""


@dataclass(frozen=True)
class Report:
    """A manifest, and whether it holds. Texts are cut at 256 characters, lists at 100 entries."""

    state: State
    error: str = ""
    issuer: str = ""
    signer: str = ""
    signed_at: datetime | None = None
    """The countersigned time; None without one."""
    created_at: datetime | None = None
    """When the signer says that the picture was made."""
    generator: str = ""
    source_type: str = ""
    """Of the file, or the nearest of the images that it is made of."""
    model: str = ""
    prompt: str = ""
    content_id: str = ""
    actions: tuple[str, ...] = ()
    ancestors: tuple[Ancestor, ...] = ()
    statuses: tuple[str, ...] = ()
    """Codes of the C2PA specification: what failed first, then what was said beside."""
    label: str = ""
    instance_id: str = ""
    results: dict[str, Any] = field(default_factory=dict, repr=False)
    """Everything that was checked, in the SDK's words."""

    @classmethod
    def broken(cls, error: str) -> Report:
        """A manifest that can't be read."""
        return cls(State.BROKEN, error=text(error))

    @property
    def holds(self) -> bool:
        """Whether what it says may be believed to be said by its signer."""
        return self.state in (State.VALID, State.TRUSTED)

    @property
    def generated(self) -> bool:
        """Whether a signer says that a model made the picture."""
        return self.holds and self.source_type in GENERATED

    @property
    def composite(self) -> bool:
        """Whether a signer says that a model made a part of the picture."""
        return self.holds and self.source_type == COMPOSITE


def report(store: dict[str, Any]) -> Report:
    """The report on the SDK's JSON of a manifest store. Raises ValueError where it has no active manifest."""
    manifests: dict[str, Any] = store.get("manifests") or {}
    label = store.get("active_manifest")
    if label not in manifests:
        raise ValueError("the manifest store has no active manifest")
    chain = list(lineage(label, manifests))
    active = chain[0]
    signature = active.get("signature_info") or {}
    results = store.get("validation_results") or {}
    actions = [action for manifest in chain for action in actions_of(manifest)]
    created = next((action for action in actions if action.get("action") == "c2pa.created"), {})
    return Report(
        state=State(str(store.get("validation_state", "Invalid")).lower()),
        issuer=text(signature.get("issuer")),
        signer=text(signature.get("common_name")),
        signed_at=time(signature.get("time")),
        created_at=time(created.get("when")),
        generator=generator(active),
        source_type=next((text(a["digitalSourceType"]) for a in actions if a.get("digitalSourceType")), ""),
        model=agent(created.get("softwareAgent")),
        prompt=text(assertion(chain[-1], PROMPT_ASSERTION).get("prompt"), 4000),
        content_id=text(assertion(active, MARK_ASSERTION).get("content_id")),
        actions=tuple(text(action.get("action")) for action in actions_of(active))[:MAX_LISTED],
        ancestors=tuple(ancestor(entry) for manifest in chain for entry in ingredients(manifest))[:MAX_LISTED],
        statuses=tuple(codes(results))[:MAX_LISTED],
        label=label,
        instance_id=text(active.get("instance_id")),
        results=results,
    )


def lineage(label: str, manifests: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A manifest, that of the image it is made of, and so on. Parts that were put into a picture are no ancestors of it."""
    for _ in range(MAX_CHAIN):
        manifest = manifests.get(label)
        if not isinstance(manifest, dict):
            return
        yield manifest
        parents = [i for i in ingredients(manifest) if i.get("relationship") == "parentOf"]
        label = str(parents[0].get("active_manifest", "")) if parents else ""


def ingredients(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What an image is made of."""
    return [entry for entry in manifest.get("ingredients") or [] if isinstance(entry, dict)]


def assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    """What a manifest says under `label`; nothing where it says nothing."""
    for entry in manifest.get("assertions") or []:
        data = entry.get("data") if isinstance(entry, dict) else None
        if isinstance(data, dict) and entry.get("label") == label:
            return data
    return {}


def actions_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What was done."""
    for label in ("c2pa.actions.v2", "c2pa.actions"):
        actions = assertion(manifest, label).get("actions")
        if isinstance(actions, list):
            return [action for action in actions if isinstance(action, dict)]
    return []


def ancestor(entry: dict[str, Any]) -> Ancestor:
    """An ingredient."""
    return Ancestor(
        text(entry.get("title")),
        text(entry.get("format")),
        text(entry.get("relationship")),
        bool(entry.get("active_manifest")),
    )


def codes(results: dict[str, Any]) -> Iterator[str]:
    """The codes of what failed, then of what was said beside."""
    parts = [results.get("activeManifest") or {}]
    parts += [delta.get("validationDeltas") or {} for delta in results.get("ingredientDeltas") or []]
    for kind in ("failure", "informational"):
        for part in parts:
            yield from (text(status.get("code")) for status in part.get(kind) or [])


def generator(manifest: dict[str, Any]) -> str:
    """The program that made the claim, with its version."""
    infos = manifest.get("claim_generator_info") or []
    if infos and isinstance(infos[0], dict):
        return text(f"{infos[0].get('name', '')} {infos[0].get('version', '')}".strip())
    return text(manifest.get("claim_generator"))


def agent(value: object) -> str:
    """The name of a software agent, which older manifests give as a text."""
    return text(value.get("name") if isinstance(value, dict) else value)


def time(value: object) -> datetime | None:
    """A time; None where it is none."""
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def text(value: object, length: int = MAX_TEXT) -> str:
    """A text that a stranger wrote, cut short."""
    return str(value)[:length] if value is not None else ""
