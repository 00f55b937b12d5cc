"""The leases on disk, so that a server that was killed and started again knows who still holds what."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import Field, TypeAdapter, ValidationError

from imajin_servers.vram.claims import Ask, Claim

UNREADABLE = ".unreadable"
"""What is added to the name of a journal that can't be read, which is put aside."""

log = structlog.get_logger()

Token = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class Entry:
    """A lease that was held."""

    lease_id: str
    token: Token
    device_id: str
    bytes: Annotated[int, Field(gt=0)]
    ttl: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    ask: Ask

    @classmethod
    def of(cls, claim: Claim) -> Entry:
        """What must be known of `claim` to hold it again."""
        device_id = claim.card.device_id if claim.card else ""
        return cls(claim.lease_id, claim.token, device_id, claim.bytes, claim.ttl, claim.ask)


@dataclass(frozen=True)
class Noted:
    """What was noted last: who held what, and the first token that nobody ever had, whatever the clock says since."""

    next_token: Token = 0
    leases: list[Entry] = field(default_factory=list)


NOTED = TypeAdapter(Noted)


class Journal:
    """One file, replaced as a whole at each change of who holds what."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: Noted | None = None
        self.failing = False

    def open(self) -> Noted:
        """What was noted; nothing where there is no file. One that makes no sense is put aside.

        Raises OSError, which names the file, where it can't be read or written.
        """
        noted = Noted()
        try:
            noted = self.read()
            self.put(noted)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                why = error.strerror or str(error)
                raise OSError(f"the journal {self.path} can't be used: {why}; set IMAJIN_VRAM_JOURNAL") from error
            # A full disk: nobody's leases should wait for that.
            self.failed(error)
        return noted

    def read(self) -> Noted:
        """What the file says. Raises OSError."""
        try:
            return NOTED.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return Noted()
        except ValidationError as error:
            aside = self.path.with_name(self.path.name + UNREADABLE)
            self.path.replace(aside)
            log.warning(
                "the journal of leases makes no sense: it was put aside, holders are asked to ask anew",
                path=str(self.path),
                aside=str(aside),
                error=str(error),
            )
            return Noted()

    def write(self, held: Sequence[Claim], next_token: int) -> None:
        """Notes what is held now, and the token that comes next. Never raises: leases are worth more than their journal."""
        noted = Noted(next_token, [Entry.of(claim) for claim in held])
        if noted == self.written:
            return
        try:
            self.put(noted)
        except OSError as error:
            self.failed(error)

    def put(self, noted: Noted) -> None:
        """Replaces the file. Raises OSError."""
        fresh = self.path.parent / (self.path.name + ".new")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(NOTED.dump_json(noted))
        fresh.replace(self.path)
        self.written = noted
        self.failing = False

    def failed(self, error: OSError) -> None:
        """Tells that the file is behind, once."""
        if not self.failing:
            log.warning("the journal of leases can't be written", path=str(self.path), error=str(error))
        self.failing = True
