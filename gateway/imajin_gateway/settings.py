"""Settings: defaults, then one TOML file (`imajin.toml`, or the file that IMAJIN_CONFIG names), then `IMAJIN_*` variables.

The servers read `[addresses]` and `IMAJIN_<SERVER>_ADDRESS` in the same way; the gateway has its own copy of that, because it
imports no server.
"""

from __future__ import annotations

import os
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_VARIABLE = "IMAJIN_CONFIG"
MIB = 1024 * 1024


class Section(BaseSettings):
    """Settings that one section of the file and one prefix of variables fill."""

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
        part = super()._read_file(file_path).get(self.section, {})
        if not isinstance(part, dict):
            raise ValueError(f"[{self.section}] in {file_path} must be a table")
        return part


class Addresses(Section):
    """Where the gateway listens and where each server is found, as `host:port`."""

    section = "addresses"

    gateway: str = Field(default="127.0.0.1:8080", validation_alias=AliasChoices("gateway", "IMAJIN_GATEWAY_ADDRESS"))
    """The REST shim and the studio page; HTTP."""
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

    def servers(self) -> dict[str, str]:
        """The servers behind the gateway, by name."""
        return {name: address for name, address in self.model_dump().items() if name != "gateway"}


class GatewaySettings(Section):
    """What the gateway can be told: `[gateway]` and `IMAJIN_GATEWAY_*`."""

    section = "gateway"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_GATEWAY_")

    listen: str = ""
    """Address to bind, where it differs from the one that others use; `host:port`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What the log holds: this and what is graver."""
    log_json: bool | None = None
    """JSON lines instead of text; by default where the log is no terminal."""
    cors_origins: Annotated[list[str], NoDecode] = []
    """Origins of other sites whose pages may call the gateway, such as `https://app.example`; `*` for all. Comma-separated in a variable."""
    hosts: Annotated[list[str], NoDecode] = []
    """Host names that requests may carry. Empty: loopback names where the gateway listens on loopback, else any."""
    max_body_bytes: int = Field(default=32 * MIB, ge=1024)
    """Largest request body. 20 MB of image are 27 MB of base64."""
    max_buffered_bytes: int = Field(default=512 * MIB, ge=1024)
    """Most bytes of JSON bodies that are held at one time, of all requests; above it they are refused with QUEUE_FULL."""
    max_answer_bytes: int = Field(default=256 * MIB, ge=MIB)
    """Most image bytes that one answer may carry."""
    max_concurrent_requests: int = Field(default=256, ge=1)
    """Requests above this are refused with QUEUE_FULL."""
    timeout_seconds: float = Field(default=600.0, gt=0)
    """Deadline of a call whose request has no `grpc-timeout` header. Watches have none."""
    head_seconds: float = Field(default=20.0, gt=0)
    """How long a connection may take to send the head of a request."""
    body_seconds: float = Field(default=30.0, gt=0)
    """Longest pause in the body of a request."""
    heartbeat_seconds: float = Field(default=15.0, gt=0)
    """An event stream that has been idle for this long gets a comment, so that proxies keep it open."""
    drain_seconds: float = Field(default=5.0, ge=0, le=600)
    """How long running requests may go on after SIGTERM; event streams of watches end at once."""
    metrics_address: str = ""
    """Where Prometheus reads, as `host:port`; nowhere when empty. `imajin up` fills it in."""
    addresses: Addresses = Field(default_factory=lambda: Addresses())

    @field_validator("log_level", mode="before")
    @classmethod
    def level_in_any_case(cls, value: object) -> object:
        """`INFO` is `info`."""
        return value.lower() if isinstance(value, str) else value

    @field_validator("cors_origins", "hosts", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        """Lists are comma-separated in variables."""
        return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value

    @property
    def bind(self) -> tuple[str, int]:
        """Host and port to listen on. Raises ValueError where the address is none."""
        address = self.listen or self.addresses.gateway
        host, _, port = address.rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{address!r} is no address; expected host:port")
        return host.strip("[]"), int(port)
