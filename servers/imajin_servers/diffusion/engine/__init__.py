"""Denoises step by step: between two steps runs join, leave, overtake and share a forward pass."""

from imajin_servers.diffusion.engine.engine import Engine, Ticket

__all__ = ["Engine", "Ticket"]
