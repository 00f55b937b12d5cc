"""Settings: defaults, then one TOML file (`imajin.toml`, or the file that IMAJIN_CONFIG names), then `IMAJIN_*` variables.

A section of the file is a server: `[diffusion]` and `IMAJIN_DIFFUSION_*` fill DiffusionSettings. `[addresses]` and
`IMAJIN_<SERVER>_ADDRESS` say where each server listens and is found.
"""

from __future__ import annotations

import os
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

CONFIG_VARIABLE = "IMAJIN_CONFIG"


class Section(BaseSettings):
    """Settings that one section of the file and one prefix of variables fill. Subclasses set `section` and an `env_prefix`."""

    section: ClassVar[str] = ""
    model_config = SettingsConfigDict(env_nested_delimiter="__", extra="ignore", populate_by_name=True)

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
        return init_settings, env_settings, SectionSource(settings_cls, cls.section)


class SectionSource(TomlConfigSettingsSource):
    """One section of the TOML file; empty where there is no file. A file named by IMAJIN_CONFIG must exist."""

    def __init__(self, settings_cls: type[BaseSettings], section: str) -> None:
        named = os.environ.get(CONFIG_VARIABLE)
        path = Path(named or "imajin.toml")
        if named and not path.is_file():
            raise FileNotFoundError(f"{CONFIG_VARIABLE} names {path}, which is no file")
        self.section = section
        super().__init__(settings_cls, path if path.is_file() else None)

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        whole = super()._read_file(file_path)
        part = whole.get(self.section, {})
        if not isinstance(part, dict):
            raise ValueError(f"[{self.section}] in {file_path} must be a table")
        return part


def host_and_port(address: str) -> str:
    """`address` where it is `host:port` (gRPC would take 443 for a missing port, and cut a long one), or a socket's `unix:path`."""
    host, _, port = address.rpartition(":")
    if address.startswith("unix:") or (host and port.isascii() and port.isdigit() and int(port) < 65536):
        return address
    raise ValueError("must be host:port, such as 127.0.0.1:50051")


class Addresses(Section):
    """Where each server listens and is found, as `host:port`."""

    section = "addresses"
    # A variable that is set and empty is none: that is how a shell takes one back.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    prompt: str = Field(default="127.0.0.1:50051", validation_alias=AliasChoices("prompt", "IMAJIN_PROMPT_ADDRESS"))
    """Descriptions to prompts."""
    diffusion: str = Field(
        default="127.0.0.1:50052", validation_alias=AliasChoices("diffusion", "IMAJIN_DIFFUSION_ADDRESS")
    )
    """Prompts to images."""
    processing: str = Field(
        default="127.0.0.1:50053", validation_alias=AliasChoices("processing", "IMAJIN_PROCESSING_ADDRESS")
    )
    """Images to images."""
    vram: str = Field(default="127.0.0.1:50054", validation_alias=AliasChoices("vram", "IMAJIN_VRAM_ADDRESS"))
    """Who may use how much of which card."""
    orchestrator: str = Field(
        default="127.0.0.1:50055", validation_alias=AliasChoices("orchestrator", "IMAJIN_ORCHESTRATOR_ADDRESS")
    )
    """Flows across the others, and jobs."""

    check_addresses = field_validator("*")(host_and_port)


class ServerSettings(Section):
    """What every server can be told; each server's own settings extend this."""

    listen: str = ""
    """Address to bind, where it differs from the one that others use; `host:port`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What the log holds: this and what is graver."""
    log_json: bool | None = None
    """JSON lines instead of text; by default where the log is no terminal."""
    drain_seconds: float = Field(default=10.0, ge=0, le=600)
    """How long running calls may go on after SIGTERM."""
    max_concurrent_calls: int = Field(default=256, ge=1)
    """Calls above this are refused by the transport with RESOURCE_EXHAUSTED."""
    metrics_address: str = ""
    """Where Prometheus reads, as `host:port`; nowhere when empty. `imajin up` fills it in."""
    addresses: Addresses = Field(default_factory=lambda: Addresses())

    @field_validator("listen")
    @classmethod
    def listen_is_an_address(cls, value: str) -> str:
        """Empty, or an address."""
        return host_and_port(value) if value else value

    @field_validator("log_level", mode="before")
    @classmethod
    def level_in_any_case(cls, value: object) -> object:
        """`INFO` is `info`."""
        return value.lower() if isinstance(value, str) else value
