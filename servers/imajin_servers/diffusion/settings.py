"""What an operator can tell the diffusion server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator
from pydantic_settings import SettingsConfigDict

from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.settings import ServerSettings

EMBEDDED = Path(__file__).parent / "embedded"
"""The model that ships with the server."""

Style = Literal["photorealistic", "anime"]
Dtype = Literal["float32", "float16", "bfloat16"]


class ModelEntry(BaseModel):
    """One model of the registry, `[[diffusion.models]]` in the file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=128)
    """What requests call it."""
    source: str
    """Directory, or repository on the model hub."""
    styles: list[Style] = Field(default_factory=list)
    """What it is for: a request that names a style and no model gets the first model of that style."""
    description: str = ""
    """For people who choose."""
    license: str = ""
    """Of its weights, for people who choose."""
    revision: str | None = None
    """Branch, tag or commit of a repository on the hub."""
    variant: str | None = None
    """Of the weight files, such as `fp16`."""
    dtype: Dtype | None = None
    """bfloat16 on a GPU and float32 on a CPU by default."""
    scheduler: str | None = None
    """A scheduler class of diffusers in place of the model's own, such as `EulerDiscreteScheduler`."""
    default_steps: int = Field(default=30, ge=1, le=150)
    """Denoising steps of a request that names none."""
    default_guidance_scale: float = Field(default=7.0, ge=0, le=30)
    """Guidance scale of a request that names none."""
    prompt_tokens: int = Field(default=512, ge=16, le=512)
    """Pieces of words that a flow transformer hears of a prompt at most; FLUX.1 schnell was trained on 256."""
    base_sizes: list[tuple[int, int]] = Field(default_factory=list)
    """Width and height in pixels, the size that it draws where none is asked for first; its own size when empty."""
    max_upscale: float = Field(default=2.0, ge=1, le=16)
    """How far a base of this model may be enlarged for a size of a batch."""
    channels_last: bool = False
    """Stores pictures with their channels last, as GPUs prefer. The same sums in another order."""
    fuse_projections: bool = False
    """Computes the projections of attention in one product. The same sums in another order; adapters aren't heard."""
    compile_blocks: bool = False
    """Compiles the blocks that repeat, at the first step of each size. The same sums in another order."""
    fp8_weights: bool = False
    """Keeps the denoiser's weights in 8 bits: half the memory, and pictures that differ. Not with `compile_blocks`."""
    step_cache: float = Field(default=0.0, ge=0, le=1)
    """Skips all blocks but the first in a step where the first block's output has changed by less than this share, such as 0.1,
    since the others last ran: faster, and pictures that differ. 0 never skips. Not with `compile_blocks`."""
    step_forecast: int = Field(default=0, ge=0, le=10)
    """Asks the transformer at each nth step only, after the first three, and takes what it would say between from a line through its last two
    answers, such as 3: up to n times faster, and pictures that differ. 0 always asks. Not with `compile_blocks` or `step_cache`."""

    @model_validator(mode="after")
    def fast_in_one_way(self) -> ModelEntry:
        """Weights that change their type at each step can't be compiled, nor can blocks that may be left out."""
        if self.step_cache and self.step_forecast:
            raise ValueError("step_cache and step_forecast exclude each other")
        for name in ("fp8_weights", "step_cache", "step_forecast"):
            if getattr(self, name) and self.compile_blocks:
                raise ValueError(f"{name} and compile_blocks exclude each other")
        return self


class LoraEntry(BaseModel):
    """An adapter that requests may name, `[[diffusion.loras]]` in the file."""

    model_config = ConfigDict(extra="forbid")

    # The name is also that of peft's layers, where a dot would part it.
    name: str = Field(min_length=1, max_length=128, pattern=r"^[^.]*$")
    """What requests call it; without a dot."""
    source: str
    """Safetensors file, the directory that it lies in, or repository on the model hub."""
    file: str = ""
    """Its name in the directory or repository; a directory with one such file needs none."""
    revision: str | None = None
    """Branch, tag or commit of a repository on the hub."""
    models: list[str] = Field(default_factory=list)
    """Names of the models that it is for; all of them when empty."""
    description: str = ""
    """For people who choose."""
    license: str = ""
    """Of the adapter, for people who choose."""


class ModerationSettings(BaseModel):
    """What is refused, before and after drawing."""

    level: Literal["off", "standard", "strict"] = "standard"
    """How much the prompt rules refuse."""
    classifier: Literal["auto", "required", "off"] = "auto"
    """Whether images are classified: `auto` does where the classifier is installed."""
    threshold: float = Field(default=0.8, ge=0, le=1)
    """Score from which an image is refused; the classifier's authors call 0.8 and above unsafe with high probability."""


class UploadSettings(BaseModel):
    """What edits may send."""

    max_bytes: int = Field(default=20_000_000, ge=1)
    """Length of an encoded image."""
    max_pixels: int = Field(default=25_000_000, ge=64 * 64)
    """Width times height, before the image is scaled to the size that is drawn."""
    max_bytes_in_flight: int = Field(default=1_000_000_000, ge=1)
    """Images of all edits that arrive, wait or are drawn; more get QUEUE_FULL."""
    seconds: float = Field(default=60.0, gt=0)
    """How long an upload may take."""


class DiffusionSettings(ServerSettings):
    """The section `[diffusion]` and the variables `IMAJIN_DIFFUSION_*`."""

    section = "diffusion"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_DIFFUSION_")

    models: list[ModelEntry] = Field(default_factory=list)
    loras: list[LoraEntry] = Field(default_factory=list)
    max_loras: int = Field(default=8, ge=0)
    """Adapters that stay in memory beside each model; those that are in use always do."""
    embedded: bool = True
    """Whether the model that ships is in the registry too."""
    default_model: str = ""
    """Name; the first of `models` when empty, else the embedded one."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`...; `auto` takes a GPU where there is one."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads of one operation on a CPU. More cost more than they bring on a busy host."""
    max_active: int = Field(default=8, ge=1, le=256)
    """Generations of one model between encoding and decoding at a time."""
    max_batch: int = Field(default=8, ge=1, le=64)
    """Generations in one forward pass, where that is faster and gives the same bits; 1 never batches."""
    max_queue: int = Field(default=64, ge=0)
    """Generations of one model that may wait beside the active ones."""
    ageing_seconds: float = Field(default=1.0, gt=0)
    """Seconds of waiting that weigh as much as one point of priority."""
    max_loaded: int = Field(default=0, ge=0)
    """Models in memory at a time; 0 keeps as many as there is room for. The one that was used longest ago goes first, none that is in use."""
    max_loaded_bytes: ByteSize = Field(default=ByteSize(0))
    """Weights in memory at a time, such as `40GiB`; 0 sets no limit."""
    previews: Literal["projection", "autoencoder"] = "projection"
    """How previews are made: by a linear map from latents to colours, or, where the model's autoencoder is a tiny one, by that:
    sharper, at a hundred times the cost."""
    lease: Literal["auto", "required", "off"] = "auto"
    """Whether VRAM is leased: `auto` goes on without where no vram server has ever answered."""
    lease_wait_seconds: float = Field(default=600.0, ge=0)
    """How long to wait for room on the card."""
    lease_outage_seconds: float = Field(default=120.0, ge=0, le=3600)
    """How long a vram server that was there and is gone is waited for. What is drawn stands still off the card meanwhile, once
    its leases have run out; after that it ends with SERVER_UNAVAILABLE."""
    uploads: UploadSettings = Field(default_factory=UploadSettings)
    moderation: ModerationSettings = Field(default_factory=ModerationSettings)
    credentials: CredentialSettings = Field(default_factory=lambda: CredentialSettings())
