"""`python -m imajin_servers.processing`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from imajin.processing.v1 import processing_pb2, processing_pb2_grpc
from imajin_servers.processing.focal.faces import NoFaces, face_finder
from imajin_servers.processing.focal.point import FaceFinder
from imajin_servers.processing.servicer import ProcessingServicer
from imajin_servers.processing.settings import ProcessingSettings
from imajin_servers.processing.work import Workshop
from imajin_servers.runtime.credentials.sealing import Seal
from imajin_servers.runtime.server import Lifetime, Service, run


@asynccontextmanager
async def build(settings: ProcessingSettings, lifetime: Lifetime) -> AsyncIterator[Sequence[Service]]:
    """The server's one service."""
    workshop = Workshop(settings.workers, settings.max_calls, settings.max_bytes_in_flight)
    finder: FaceFinder = NoFaces()
    try:
        if settings.focal.faces:
            finder = await asyncio.to_thread(face_finder, settings.focal.min_face_score)
        seal = await asyncio.to_thread(Seal, settings.credentials)
        servicer = ProcessingServicer(settings, workshop, finder, seal)
        name = processing_pb2.DESCRIPTOR.services_by_name["ProcessingService"].full_name
        yield [Service(name, processing_pb2_grpc.add_ProcessingServiceServicer_to_server, servicer)]
    finally:
        await asyncio.to_thread(workshop.close)
        await asyncio.to_thread(finder.close)


if __name__ == "__main__":
    run("processing", ProcessingSettings, build)
