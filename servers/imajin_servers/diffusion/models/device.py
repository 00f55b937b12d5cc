"""The device that a model lies on, as its driver knows it. On a CPU all of this is nothing."""

from __future__ import annotations

import gc

import torch


def free_bytes(device: torch.device) -> int | None:
    """Bytes that `device` has left by the driver's word, what PyTorch keeps in reserve included; none for a CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def reserved_bytes(device: torch.device) -> int:
    """Bytes that PyTorch has of `device`, in use or in reserve; 0 for a CPU. Waits for the allocator, as long as others allocate."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else 0


def swept(device: torch.device) -> None:
    """Frees what nothing refers to any more, for other processes too. Blocking."""
    gc.collect()
    unreserved(device)


def unreserved(device: torch.device) -> None:
    """Gives the driver what PyTorch keeps in reserve: a lease that ends must not leave its memory taken. Blocking."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def card_id(device: torch.device) -> str:
    """The id that the vram server knows the card by: its UUID; empty for a CPU."""
    if device.type != "cuda":
        return ""
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
