"""Settings of the orchestrator: section `[orchestrator]`, variables `IMAJIN_ORCHESTRATOR_*`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import SettingsConfigDict

from imajin_servers.orchestrator.sizes.named import FREE_SIZE, LARGEST_EDGE, SMALLEST_EDGE, Pixels
from imajin_servers.runtime.settings import ServerSettings
from imajin_servers.runtime.sizes import SIZES

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def pixels(value: object) -> object:
    """`1920x1080` as a pair; anything else as it is."""
    found = FREE_SIZE.fullmatch(value) if isinstance(value, str) else None
    return (int(found[1]), int(found[2])) if found else value


Edge = Annotated[int, Field(ge=SMALLEST_EDGE, le=LARGEST_EDGE)]
NamedSize = Annotated[tuple[Edge, Edge], BeforeValidator(pixels)]


class OrchestratorSettings(ServerSettings):
    """What the orchestrator can be told."""

    section = "orchestrator"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_ORCHESTRATOR_")

    data_dir: Path = Path(".imajin/data")
    """Where jobs (`jobs.sqlite3`) and their images (`results/`) lie."""
    retention_seconds: float = Field(86_400.0, gt=0)
    """How long a finished job and its images are kept."""
    sweep_seconds: float = Field(60.0, gt=0)
    """How often expired jobs are looked for."""
    concurrent_jobs: int = Field(2, ge=1, le=64)
    """Jobs that run at the same time."""
    max_queued: int = Field(100, ge=1, le=10_000)
    """Jobs that may wait; the next one is refused with QUEUE_FULL."""
    concurrent_bases: int = Field(4, ge=1, le=16)
    """Bases of one batch that are asked for at the same time; the diffusion server decides which is drawn when."""
    concurrent_crops: int = Field(4, ge=1, le=64)
    """Crops of one batch that are made at the same time."""
    heartbeat_seconds: float = Field(15.0, gt=0)
    """Seconds between two heartbeats of a watch that has nothing else to say."""
    wait_for_servers_seconds: float = Field(30.0, ge=0)
    """How long a job waits for a server that is just starting again. Calls with a caller do not wait."""
    preview_interval: int = Field(5, ge=0, le=150)
    """Denoising steps between two previews of a batch; 0 for none."""
    max_image_bytes: int = Field(64 * 1024 * 1024, ge=1024)
    """Largest image that is taken from another server."""
    min_kept: float = Field(0.55, gt=0, le=1)
    """Share of a base's area that a size must keep, so that cropping leaves the picture; see docs/decisions/bases.md."""
    sizes: dict[str, NamedSize] = Field(default_factory=dict)
    """Named sizes, `name = "WxH"`, added to the ones that are built in or replacing them."""

    @field_validator("sizes")
    @classmethod
    def names(cls, given: dict[str, Pixels]) -> dict[str, Pixels]:
        """Refuses names that would not do in a path."""
        for name in given:
            if not NAME.fullmatch(name):
                raise ValueError(f"a size's name is lower-case letters, digits and dashes, not {name!r}")
        return given

    @property
    def named_sizes(self) -> dict[str, Pixels]:
        """Every named size."""
        return SIZES | self.sizes
