"""What the ledger keeps, and what it says: claims on memory, cards, and the events that holders hear of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

FOREVER = float("inf")


class ClaimState(Enum):
    """Where a claim is."""

    WAITING = auto()
    HELD = auto()
    REVOKING = auto()
    """Held, and asked back."""
    ENDED = auto()


class RevokeCause(Enum):
    """Why a lease is asked back."""

    PREEMPTED = auto()
    DRAINING = auto()


class EndCause(Enum):
    """Why a claim ended."""

    CLIENT = auto()
    REVOKED = auto()
    EXPIRED = auto()


@dataclass
class Card:
    """A card: its size, and what its driver last said is in use (None where no driver is asked). Bytes."""

    device_id: str
    name: str
    total: int
    simulated: bool
    used: int | None = None
    freed: int = 0
    """Given back, and perhaps not shown as free yet."""
    shown_by: float = FOREVER
    """When the driver must have shown it."""
    shown: int = 0
    """Shown as free, and perhaps not given back yet."""
    given_by: float = 0.0
    """When it must have been given back."""


@dataclass(frozen=True)
class Ask:
    """What a claim asks for. Bytes and seconds."""

    bytes: int
    holder: str
    device_id: str = ""
    priority: int = 50
    preemptible: bool = False
    max_wait: float | None = None
    ttl: float | None = None
    group: str = ""
    """Leases of one group lie on one card, and none is revoked for another of them. Empty for no group."""


@dataclass(eq=False)
class Claim:
    """A lease, from the moment it is asked for to its end. Times are those of the ledger's clock, in seconds."""

    ask: Ask
    lease_id: str
    asked_at: float
    rank: float
    """Place in the line, lower goes first: the time of arrival, less what the priority is worth."""
    ttl: float
    bytes: int
    """Held, or waited for."""
    state: ClaimState = ClaimState.WAITING
    token: int = 0
    card: Card | None = None
    granted_at: float = 0.0
    expires_at: float = FOREVER
    gives_up_at: float = FOREVER
    revoked_at: float = FOREVER
    """When the memory counts as free, whether it was given back or not."""
    revoke_cause: RevokeCause | None = None
    reported: int | None = 0
    """Bytes in use as the holder last said, none before its first heartbeat; None where it does not know."""
    counted: int = 0
    """Bytes in use that the driver's last reading is taken to contain."""
    rising_since: float = FOREVER
    """When the holder said that more are in use than are counted."""
    idle: bool = False
    """Whether nobody needs the memory at the moment, as the holder last said."""
    since: float = 0.0
    """When it was granted, or last became idle or busy."""
    growing_to: int | None = None
    """Bytes asked for by a resize that waits."""
    told_place: int = 0

    def kin(self, other: Claim) -> bool:
        """Whether both belong to one group."""
        return bool(self.ask.group) and self.ask.group == other.ask.group

    @property
    def held(self) -> bool:
        """Whether it has memory."""
        return self.state in (ClaimState.HELD, ClaimState.REVOKING)

    @property
    def said(self) -> int:
        """Bytes in use by its holder's word. One that does not know uses all it has."""
        return self.bytes if self.reported is None else min(self.reported, self.bytes)

    @property
    def in_use(self) -> int:
        """Bytes that the driver's reading is taken to contain already."""
        return min(self.counted, self.bytes)

    @property
    def need(self) -> int:
        """Bytes to find on a card."""
        return self.bytes if self.growing_to is None else self.growing_to - self.bytes


@dataclass(frozen=True)
class Moved:
    """The place in the line has changed; 1 is next."""

    claim: Claim
    position: int
    requested: int
    available: int


@dataclass(frozen=True)
class Granted:
    """The claim is held now."""

    claim: Claim


@dataclass(frozen=True)
class Resized:
    """The claim holds another amount."""

    claim: Claim
    bytes: int


@dataclass(frozen=True)
class Revoked:
    """The claim is asked back."""

    claim: Claim


@dataclass(frozen=True)
class Ended:
    """The claim is over."""

    claim: Claim
    cause: EndCause


@dataclass(frozen=True)
class Refused:
    """A claim that waited will not be granted: `available` bytes were the most there was when its time was up."""

    claim: Claim
    requested: int
    available: int
    draining: bool = False


Event = Moved | Granted | Resized | Revoked | Ended | Refused
