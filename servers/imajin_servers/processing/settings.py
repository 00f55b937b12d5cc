"""What the processing server can be told."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import SettingsConfigDict

from imajin_servers.runtime.credentials.settings import CredentialSettings
from imajin_servers.runtime.decoding.limits import Limits
from imajin_servers.runtime.settings import ServerSettings

Encoding = Literal["png", "jpeg", "webp", "avif"]


class FamilySettings(BaseModel):
    """A family of derivatives: each width, in pixels, in each encoding."""

    widths: list[int] = Field(min_length=1, max_length=16)
    """In pixels, 16 to 8192."""
    formats: list[Encoding] = Field(default=["webp"], min_length=1, max_length=4)
    """Encodings of each width."""

    @model_validator(mode="after")
    def sound(self) -> FamilySettings:
        """Refuses widths that no encoder takes, and doubles."""
        if any(not 16 <= width <= 8192 for width in self.widths) or len(set(self.widths)) < len(self.widths):
            raise ValueError("widths must be different numbers from 16 to 8192")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError("formats must be different")
        return self


def own_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


FAMILIES = {
    "hero": FamilySettings(widths=[640, 960, 1280, 1920], formats=["webp", "jpeg"]),
    "card": FamilySettings(widths=[320, 480, 640, 960]),
    "avatar": FamilySettings(widths=[48, 96, 192, 384]),
    "og": FamilySettings(widths=[600, 1200], formats=["jpeg", "webp"]),
    "content": FamilySettings(widths=[320, 640, 1024, 1536]),
}


class Encoders(BaseModel):
    """How images are encoded where a call doesn't say."""

    webp_quality: int = Field(default=82, ge=1, le=100)
    """Quality of WebP."""
    webp_method: int = Field(default=4, ge=0, le=6)
    """Effort; 2 takes half the time of 4 and 4 to 14% more bytes."""
    jpeg_quality: int = Field(default=82, ge=1, le=100)
    """Quality of JPEG."""
    jpeg_progressive: bool = True
    """Without it JPEG takes a sixth of the time and 7% more bytes."""
    avif_quality: int = Field(default=60, ge=1, le=100)
    """Quality of AVIF; its numbers mean another quality than those of the others."""
    avif_speed: int = Field(default=8, ge=0, le=10)
    """10 is fastest; 6 takes three times as long as 8."""
    png_level: int = Field(default=6, ge=0, le=9)
    """Effort of PNG's compression."""
    background: str = Field(default="#ffffff", pattern="^#[0-9a-fA-F]{6}$")
    """What shows through transparent pixels in a JPEG."""


class FocalSettings(BaseModel):
    """How the focal point is found."""

    faces: bool = True
    """Whether faces are looked for; without this the salient region decides."""
    min_face_score: float = Field(default=0.6, ge=0, le=1)
    """Detections below this are no faces."""


class ProcessingSettings(ServerSettings):
    """Settings of the processing server: `[processing]` and `IMAJIN_PROCESSING_*`."""

    section = "processing"
    model_config = SettingsConfigDict(env_prefix="IMAJIN_PROCESSING_")

    workers: int = Field(default_factory=lambda: own_cores(), ge=1, le=256)
    """Threads that decode, resize and encode."""
    max_calls: int = Field(default=32, ge=1)
    """Calls that work or wait for a thread; more get QUEUE_FULL."""
    max_bytes_in_flight: int = Field(default=1_500_000_000, ge=1)
    """Uploads and decoded pixels of all calls together; more get QUEUE_FULL."""
    upload_seconds: float = Field(default=60.0, gt=0)
    """How long an upload may take."""
    optimize_quality: int = Field(default=82, ge=1, le=100)
    """Quality of the operation `optimize`."""
    convert_quality: int = Field(default=90, ge=1, le=100)
    """Quality of the operation `convert-webp`."""
    max_upscale: float = Field(default=16.0, ge=1, le=16)
    """How far a focal crop may be enlarged where the call doesn't say."""
    families: dict[str, FamilySettings] = Field(default_factory=lambda: dict(FAMILIES), min_length=1)
    """Families of derivatives by name, in place of those that are built in: hero, card, avatar, og and content."""
    default_family: str = "content"
    """The family where a call names none."""
    limits: Limits = Field(default_factory=lambda: Limits())
    encoders: Encoders = Field(default_factory=lambda: Encoders())
    focal: FocalSettings = Field(default_factory=lambda: FocalSettings())
    credentials: CredentialSettings = Field(default_factory=lambda: CredentialSettings())

    @model_validator(mode="after")
    def default_exists(self) -> ProcessingSettings:
        """The default family must be one of the families."""
        if self.default_family not in self.families:
            raise ValueError(f"default_family {self.default_family!r} is not one of {', '.join(self.families)}")
        return self
