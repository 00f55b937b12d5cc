"""Puts the server together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import torch

from imajin.diffusion.v1 import diffusion_pb2_grpc
from imajin_servers.diffusion.generations import Generations
from imajin_servers.diffusion.models import loading, registry
from imajin_servers.diffusion.models.card import Card
from imajin_servers.diffusion.models.device import card_id, free_bytes
from imajin_servers.diffusion.models.model import Model
from imajin_servers.diffusion.models.shelf import Shelf
from imajin_servers.diffusion.models.usage import Usage
from imajin_servers.diffusion.moderation import Images, Prompts
from imajin_servers.diffusion.servicer import NAME, DiffusionServicer
from imajin_servers.diffusion.settings import DiffusionSettings
from imajin_servers.diffusion.uploads import Uploads
from imajin_servers.runtime.channels import connect
from imajin_servers.runtime.credentials.sealing import Seal
from imajin_servers.runtime.leases import LeaseClient
from imajin_servers.runtime.server import Lifetime, Service


@asynccontextmanager
async def build(settings: DiffusionSettings, lifetime: Lifetime) -> AsyncIterator[Sequence[Service]]:
    """The diffusion service, for as long as the block runs. Raises ValueError on settings that make no sense."""
    torch.set_num_threads(settings.threads)
    models = registry.from_settings(settings)
    device = loading.device(settings.device)
    channel = None if settings.lease == "off" else connect(settings.addresses.vram)
    card = Card(
        LeaseClient(channel, settings.lease_outage_seconds) if channel is not None else None,
        Usage(),
        required=settings.lease == "required",
        max_wait=settings.lease_wait_seconds,
        device_id=card_id(device) if channel is not None else "",
    )
    shelf = Shelf(settings.max_loaded, settings.max_loaded_bytes, lambda: free_bytes(device))
    known = {entry.name: Model(entry, settings, card, device, shelf) for entry in models.models}
    shelf.models.extend(model.residency for model in known.values())
    generations = Generations(
        known,
        Prompts(settings.moderation.level),
        Images(settings.moderation.classifier, settings.moderation.threshold),
        await asyncio.to_thread(Seal, settings.credentials),
    )
    try:
        servicer = DiffusionServicer(models, generations, Uploads(settings.uploads))
        yield [Service(NAME, diffusion_pb2_grpc.add_DiffusionServiceServicer_to_server, servicer)]
    finally:
        await generations.close()
        if channel is not None:
            await channel.close()
