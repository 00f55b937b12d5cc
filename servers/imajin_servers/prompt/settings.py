"""Settings of the prompt server: `[prompt]` in the file, `IMAJIN_PROMPT_*` in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from imajin_servers.prompt.reasoning.embedded import packaged_model
from imajin_servers.runtime.errors import LlmFailed
from imajin_servers.runtime.settings import ServerSettings
from imajin_servers.runtime.sizes import SIZES

GGUF = b"GGUF"
"""What every file of llama.cpp begins with."""


class PromptSettings(ServerSettings):
    """What the prompt server can be told."""

    section = "prompt"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_PROMPT_")

    engine: Literal["embedded", "openai", "vllm"] = "embedded"
    """Which language model reasons."""
    model: str = ""
    """Model: a GGUF file for `embedded`, a name for `openai`, a name or directory for `vllm`; each has a default."""
    llm_timeout_seconds: float = Field(120.0, gt=0, le=3600)
    """How long the reasoning may take, where the caller's deadline doesn't end it before."""
    max_waiting: int = Field(16, ge=0, le=1000)
    """Requests that may wait for the language model; more are refused with QUEUE_FULL."""
    sizes: dict[str, tuple[int, int]] = Field(default_factory=lambda: dict(SIZES))
    """Named sizes in pixels, which decide the aspect."""

    lease: Literal["auto", "off"] = "auto"
    """Whether the model holds a VRAM lease while it is in memory; `auto` does without where no vram server has ever answered."""
    lease_priority: int = Field(50, ge=0, le=100)
    """Priority of that lease; higher ones are granted first and may preempt lower ones."""
    lease_wait_seconds: float = Field(60.0, gt=0, le=3600)
    """How long to wait for the lease; at most the time that the reasoning has."""
    lease_outage_seconds: float = Field(120.0, ge=0, le=3600)
    """How long a vram server that was there and is gone is waited for; within the time that the lease and the reasoning have."""

    openai_base_url: str = "http://127.0.0.1:8000/v1"
    """An OpenAI-compatible endpoint: vLLM, Ollama, llama.cpp, or a hosted one."""
    openai_api_key: SecretStr = SecretStr("")
    """Sent as a bearer token, where it is not empty."""
    openai_capable: bool = True
    """Whether that model writes whole prompts; if not, it is asked to choose like the embedded one."""
    openai_response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    """What the endpoint knows of constrained output."""
    openai_at_once: int = Field(8, ge=1, le=1000)
    """Requests that the endpoint may answer at once."""

    tensor_parallel_size: int = Field(1, ge=1)
    """vllm: cards that share the model."""
    quantization: str = ""
    """vllm: such as `fp8`; empty for that of the checkpoint."""
    max_model_len: int = Field(16384, ge=1024)
    """vllm: tokens of prompt and answer."""
    gpu_memory_utilization: float = Field(0.85, gt=0, le=1)
    """vllm: fraction of each card that it takes."""
    reasoning_parser: str = "deepseek_r1"
    """vllm: how the model marks its reasoning; empty for models that don't reason aloud."""
    enforce_eager: bool = False
    """vllm: leave compilation out: starts faster, writes slower."""
    vllm_at_once: int = Field(32, ge=1, le=1000)
    """vllm: requests that are written at once."""

    @field_validator("openai_base_url")
    @classmethod
    def base_url_is_one(cls, value: str) -> str:
        """A URL that no request could be sent to is told when the server starts."""
        parts = urlsplit(value)
        # Asking for the port raises ValueError where that is none.
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("must be a URL, such as http://127.0.0.1:8000/v1")
        return value

    @model_validator(mode="after")
    def model_is_there(self) -> Self:
        """A missing model file, or one of another kind, is told when the server starts, not to the first caller."""
        if self.engine == "embedded":
            try:
                path = Path(self.model) if self.model else packaged_model()
            except LlmFailed as error:
                raise ValueError(error.message) from error
            if not path.is_file():
                raise ValueError(f"model: there is no file {path}")
            with path.open("rb") as file:
                if file.read(len(GGUF)) != GGUF:
                    raise ValueError(f"model: {path} is no GGUF file")
        return self
