"""Settings of `imajin up`: defaults, then `[up]` of imajin.toml (or the file that IMAJIN_CONFIG names), then `IMAJIN_UP_*`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import TomlConfigSettingsSource as TomlFile

from imajin_client.addresses import CONFIG_VARIABLE


class UpSettings(BaseSettings):
    """What the supervisor can be told. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix="IMAJIN_UP_", extra="ignore")

    only: Annotated[tuple[str, ...], NoDecode] = ()
    """Servers to run, comma-separated in a variable; all where empty."""
    state_dir: Path = Path(".imajin")
    """Folder of the logs, one file a server in `logs/`."""
    verbose: bool = False
    """Whether the servers' logs go to the screen too."""
    with_parent: bool = False
    """Whether to stop when the process that started this one dies. Linux."""
    metrics: bool = True
    """Whether Prometheus may read every server and the gateway, on loopback, each at its port and a thousand more."""
    start_seconds: float = Field(120.0, gt=0)
    """How long a server may take until it serves."""
    stop_seconds: float = Field(20.0, ge=0)
    """How long a server may take to stop before it is killed; more than its own `drain_seconds`."""
    backoff_seconds: float = Field(0.5, gt=0)
    """Pause before the first restart; each one after it doubles the pause."""
    backoff_limit: float = Field(30.0, gt=0)
    """Longest pause before a restart."""
    settle_seconds: float = Field(60.0, gt=0)
    """After serving for so long a server counts as healthy again: the next pause is the first one."""
    attempts: int = Field(5, ge=1)
    """How often a server that never served is started before the suite gives up."""
    liveness_seconds: float = Field(10.0, ge=0, le=3600)
    """Pause between two checks whether a server that serves still answers; 0 makes none, as one wants it with a debugger."""
    liveness_timeout: float = Field(10.0, gt=0, le=3600)
    """How long a check waits for its answer. Long: native code of a busy server may keep Python waiting for seconds."""
    liveness_failures: int = Field(3, ge=1, le=1000)
    """Checks in a row without an answer after which a server is taken for hung: it is ended and starts again."""
    log_bytes: int = Field(10 * 1024 * 1024, ge=1024)
    """A log longer than this is put aside (`.log.1`) when its server starts."""

    @property
    def longest_silence(self) -> float:
        """How long a server may be silent without being taken for hung."""
        return self.liveness_failures * self.liveness_timeout + (self.liveness_failures - 1) * self.liveness_seconds

    def log_of(self, name: str) -> Path:
        """The log of the server `name`."""
        return self.state_dir.resolve() / "logs" / f"{name}.log"

    @field_validator("only", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        """A list is comma-separated in a variable."""
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over variables, variables over the file."""
        return init_settings, env_settings, UpSection(settings_cls)


class UpSection(TomlFile):
    """`[up]` of the settings file; empty where there is no file. Raises FileNotFoundError where IMAJIN_CONFIG names none."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        named = os.environ.get(CONFIG_VARIABLE)
        path = Path(named or "imajin.toml")
        if named and not path.is_file():
            raise FileNotFoundError(f"{CONFIG_VARIABLE} names {path}, which is no file")
        super().__init__(settings_cls, path if path.is_file() else None)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        part = super()._read_file(file_path).get("up", {})
        if not isinstance(part, dict):
            raise ValueError(f"[up] in {file_path} must be a table")
        return part
