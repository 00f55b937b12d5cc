"""The models of the registry, and their adapters."""

from __future__ import annotations

from dataclasses import dataclass

from imajin.common.v1 import drawing_pb2, model_pb2
from imajin.diffusion.v1 import diffusion_pb2
from imajin_client.names import word


@dataclass(frozen=True)
class Lora:
    """An adapter of the registry."""

    name: str
    description: str
    license: str
    loaded: bool
    """Whether it is in memory beside the model."""


@dataclass(frozen=True)
class Model:
    """A model of the registry."""

    name: str
    styles: tuple[str, ...]
    description: str
    source: str
    """Repository or directory that it is loaded from."""
    license: str
    loaded: bool
    weight_bytes: int
    """0 while unknown."""
    is_default: bool
    default_steps: int
    default_guidance_scale: float
    base_sizes: tuple[tuple[int, int], ...]
    """Sizes that it draws best, (width, height) in pixels."""
    max_upscale: float
    dtype: str
    schedulers: tuple[str, ...] = ()
    """Those that a call may choose; empty while the server can't know."""
    loras: tuple[Lora, ...] = ()
    """Adapters that a call may name."""
    edits: bool = False
    """Whether it draws from images."""

    @classmethod
    def from_proto(cls, model: diffusion_pb2.Model) -> Model:
        """From the contract's message."""
        return cls(
            name=model.name,
            styles=tuple(word(model_pb2.ModelStyle, style) for style in model.styles),
            description=model.description,
            source=model.source,
            license=model.license,
            loaded=model.loaded,
            weight_bytes=model.weight_bytes,
            is_default=model.is_default,
            default_steps=model.default_steps,
            default_guidance_scale=model.default_guidance_scale,
            base_sizes=tuple((size.width, size.height) for size in model.base_sizes),
            max_upscale=model.max_upscale,
            dtype=model.dtype,
            schedulers=tuple(word(drawing_pb2.Scheduler, scheduler) for scheduler in model.schedulers),
            loras=tuple(Lora(lora.name, lora.description, lora.license, lora.loaded) for lora in model.loras),
            edits=model.edits,
        )
