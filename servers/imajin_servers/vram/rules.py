"""What a ledger of leases can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """What the ledger can be told. Seconds, where not said."""

    ttl: float = 15.0
    """How long a lease lives without a heartbeat, where its holder does not say."""
    grace: float = 30.0
    """Between a Revoke and the moment when the memory counts as free."""
    ageing: float = 1.0
    """Waiting that is worth one point of priority."""
    turn: float = 120.0
    """How long a preemptible lease that is needed keeps its memory from others of its own priority."""
    showing: float = 10.0
    """How long a driver may take to show memory as free that was given back."""
    max_waiting: int = 64
    """Claims that may wait at once."""
    retry_after: float = 5.0
    """When to try again after the line was full."""
