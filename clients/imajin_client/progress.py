"""Progress of work under way, and previews of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from imajin.common.v1 import image_pb2, progress_pb2

PHASES = {
    "queued": "queued",
    "waiting_for_vram": "waiting for VRAM",
    "loading_model": "loading model",
    "encoding_prompt": "encoding prompt",
    "denoising": "denoising",
    "decoding": "decoding",
    "finishing": "finishing",
    "analyzing_sizes": "analyzing sizes",
    "detecting_focal_point": "detecting focal point",
    "cropping": "cropping",
    "processing": "processing",
}
"""Phases by their name in the contract, with words for people."""


@dataclass(frozen=True)
class Progress:
    """How far the work has come."""

    phase: str
    """Name of the phase as in the contract, such as `denoising`; empty when only the fraction is known."""
    fraction: float
    """Of the whole work, 0 to 1."""
    step: int = 0
    """Done within the phase: denoising steps, bytes loaded, sizes cut; the place in the line while queued."""
    total: int = 0
    """Of `step`; 0 when the phase has no end that can be counted."""
    eta: timedelta | None = None
    """Estimate of the time left."""
    base: int = 0
    """Which base of a batch this is about, 1-based; 0 outside of batches."""
    bases: int = 0
    """How many bases the batch has."""
    detail: str = ""
    """More for people: the model that is loaded, the operation of the finishing."""
    requested_bytes: int = 0
    """Waiting for VRAM: bytes asked for."""
    available_bytes: int = 0
    """Waiting for VRAM: bytes free on the card."""
    sequence: int = 0
    """Number of the event within its job; 0 outside of jobs."""

    @property
    def label(self) -> str:
        """The phase for people, such as `denoising 3/20`."""
        words = PHASES.get(self.phase, self.phase.replace("_", " ")) or "working"
        if self.phase in {"queued", "waiting_for_vram"}:
            return f"{words} (place {self.step})" if self.step else words
        if self.phase == "loading_model":
            share = f" {self.step * 100 // self.total}%" if self.total else ""
            return f"{words}{share}"
        if self.total:
            return f"{words} {self.step}/{self.total}"
        return f"{words}: {self.detail}" if self.detail else words

    @classmethod
    def from_proto(cls, progress: progress_pb2.Progress, sequence: int = 0) -> Progress:
        """From the contract's message."""
        phase = progress.WhichOneof("phase") or ""
        step = total = requested = available = 0
        detail = ""
        match phase:
            case "queued":
                step = progress.queued.position
            case "waiting_for_vram":
                waiting = progress.waiting_for_vram
                step, requested, available = waiting.position, waiting.requested_bytes, waiting.available_bytes
            case "loading_model":
                loading = progress.loading_model
                step, total, detail = loading.loaded_bytes, loading.total_bytes, loading.model
            case "denoising":
                step, total = progress.denoising.step, progress.denoising.total_steps
            case "finishing":
                detail = progress.finishing.operation
            case "cropping":
                step, total = progress.cropping.done, progress.cropping.total
            case "processing":
                step, total = progress.processing.done, progress.processing.total
        return cls(
            phase=phase,
            fraction=progress.fraction,
            step=step,
            total=total,
            eta=progress.eta.ToTimedelta() if progress.HasField("eta") else None,
            base=progress.base,
            bases=progress.bases,
            detail=detail,
            requested_bytes=requested,
            available_bytes=available,
            sequence=sequence,
        )


@dataclass(frozen=True)
class Preview:
    """A small JPEG of the work so far."""

    data: bytes = field(repr=False)
    """The encoded bytes."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    step: int
    """Denoising step that it shows, 1-based."""
    sequence: int = 0
    """Number of the event within its job; 0 outside of jobs."""

    @classmethod
    def from_proto(cls, preview: image_pb2.Preview, sequence: int = 0) -> Preview:
        """From the contract's message."""
        return cls(preview.image_data, preview.info.width, preview.info.height, preview.step, sequence)


OnProgress = Callable[[Progress], None]
"""Called in the event loop with each progress event; must not block."""
