"""The leases on disk, so that a server that was killed and started again knows who still holds what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from imajin_servers.vram.claims import Ask, Claim

log = structlog.get_logger()


@dataclass(frozen=True)
class Entry:
    """A lease that was held."""

    lease_id: str
    token: int
    device_id: str
    bytes: int
    ttl: float
    ask: Ask

    @classmethod
    def of(cls, claim: Claim) -> Entry:
        """What must be known of `claim` to hold it again."""
        device_id = claim.card.device_id if claim.card else ""
        return cls(claim.lease_id, claim.token, device_id, claim.bytes, claim.ttl, claim.ask)


ENTRIES = TypeAdapter(list[Entry])


class Journal:
    """One file, replaced as a whole at each change of who holds what."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: list[Entry] = []

    def read(self) -> list[Entry]:
        """What was held; nothing where there is no file, or none that can be read."""
        try:
            return ENTRIES.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValidationError) as error:
            log.warning("the journal of leases can't be read", path=str(self.path), error=str(error))
            return []

    def write(self, held: Sequence[Claim]) -> None:
        """Notes what is held now."""
        entries = [Entry.of(claim) for claim in held]
        if entries == self.written:
            return
        self.written = entries
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(ENTRIES.dump_json(entries))
            fresh.replace(self.path)
        except OSError as error:
            # Leases are worth more than their journal.
            log.warning("the journal of leases can't be written", path=str(self.path), error=str(error))
