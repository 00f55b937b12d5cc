"""Settings of the vram server: `[vram]` and `IMAJIN_VRAM_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ByteSize, Field, field_validator
from pydantic_settings import SettingsConfigDict

from imajin_servers.runtime.settings import ServerSettings
from imajin_servers.vram.rules import Rules


class VramSettings(ServerSettings):
    """What the vram server can be told. Amounts take units, such as `8GiB`."""

    section = "vram"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_VRAM_")

    cards: Literal["auto", "nvml", "simulated"] = "auto"
    """Where the cards come from: the NVIDIA driver, simulation, or (auto) the driver where it shows a card."""
    simulated_bytes: ByteSize = Field(ByteSize(8 * 1024**3), gt=0)
    """Size of a simulated card."""
    simulated_cards: int = Field(1, ge=1, le=64)
    """Number of simulated cards."""
    ttl_seconds: float = Field(15.0, ge=1, le=3600)
    """How long a lease lives without a heartbeat, where its holder does not say. Heartbeats come three times as often."""
    grace_seconds: float = Field(30.0, gt=0, le=3600)
    """How long a holder may take to give a revoked lease back."""
    ageing_seconds: float = Field(1.0, ge=0, le=3600)
    """Seconds of waiting that are worth one point of priority."""
    turn_seconds: float = Field(120.0, ge=0, le=86_400)
    """How long a model that is needed keeps its memory from others of the same priority; then they take turns."""
    showing_seconds: float = Field(10.0, ge=0, le=600)
    """How long the driver may take to show memory as free that was given back, before more is revoked."""
    max_waiting: int = Field(64, ge=1, le=10_000)
    """Requests that may wait at once; above it QUEUE_FULL."""
    poll_seconds: float = Field(0.25, gt=0, le=60)
    """How often the driver is asked what is in use."""
    watch_seconds: float = Field(0.1, ge=0, le=60)
    """Least time between two messages of a watch; changes between them go together."""
    journal: Path | None = None
    """File that keeps the leases over a crash of this server; none where not said, or empty. `imajin up` says one."""

    @field_validator("journal", mode="before")
    @classmethod
    def journal_may_be_none(cls, value: object) -> object:
        """An empty variable takes back what `imajin up` says."""
        return None if value == "" else value

    def rules(self) -> Rules:
        """What the ledger is told."""
        return Rules(
            ttl=self.ttl_seconds,
            grace=self.grace_seconds,
            ageing=self.ageing_seconds,
            turn=self.turn_seconds,
            showing=self.showing_seconds,
            max_waiting=self.max_waiting,
        )
