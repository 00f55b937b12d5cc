"""A job followed to its end, and its images saved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.bars import bars
from imajin_client.errors import ImajinError, Unavailable
from imajin_client.images import EXTENSIONS, Image
from imajin_client.job import ImageReady, Job
from imajin_client.progress import Preview, Progress

CANCEL_SECONDS = 5.0
"""How long an interrupted command may take to tell the server."""


async def follow(
    client: AsyncClient,
    job_id: str,
    *,
    names: Sequence[str] = (),
    cancel: bool,
    after_event: int = 0,
    events: bool = False,
    quiet: bool = False,
) -> Job:
    """Shows a job until it has ended, with a bar for each image in `names`; with `cancel`, an interrupt cancels the job itself."""
    try:
        with bars(quiet=quiet or events) as drawn:
            for name in ("job", *names):
                drawn.move(name, 0, "")
            async with client.jobs.watch(job_id, after_event=after_event, previews=False) as watched:
                async for event in watched:
                    if events:
                        output.line(type(event).__name__.lower(), event)
                    match event:
                        case Progress():
                            drawn.show("job", event)
                        case ImageReady():
                            drawn.finish(event.name, f"{event.image.width}x{event.image.height} ready")
                        case Job():
                            drawn.finish("job", event.status)
                            return event
                        case Preview():
                            pass
    except asyncio.CancelledError:
        if cancel:
            # The task is being cancelled: a task of its own may still speak.
            await asyncio.wait({asyncio.create_task(call_off(client, job_id))}, timeout=CANCEL_SECONDS)
        raise
    raise Unavailable(f"the watch of job {job_id} ended before the job", details={"server": "orchestrator"})


async def call_off(client: AsyncClient, job_id: str) -> None:
    """Cancels a job; it may be over already, or the server gone."""
    with suppress(ImajinError):
        await client.jobs.cancel(job_id, timeout=CANCEL_SECONDS)


async def save_all(client: AsyncClient, job: Job, out: str, *, as_json: bool, events: bool = False) -> dict[str, Path]:
    """Writes every image of a job into a folder and says where they are."""
    images = await client.jobs.images(job.job_id)
    files = {name: image.save(Path(out) / file_name(image)) for name, image in images.items()}
    if events:
        output.line("saved", {"files": output.plain(files)})
    elif as_json:
        output.document({**output.plain(job), "files": files})
    else:
        tell_files(job, images, files)
    return files


def file_name(image: Image) -> str:
    """The image's name with the ending of its format, once."""
    ending = EXTENSIONS[image.format]
    return image.name if image.name.lower().endswith((ending, ".jpeg")) else image.name + ending


def tell_files(job: Job, images: dict[str, Image], files: dict[str, Path]) -> None:
    """Prints a table of the files."""
    rows = output.table("file", "pixels>", "bytes>", "base", "enlarged>")
    for name, path in files.items():
        told = job.images.get(name)
        enlarged = f"{told.upscale:.2f}x" if told is not None and told.upscale > 0 else ""
        base = told.base if told is not None else ""
        image = images[name]
        output.row(rows, path, f"{image.width}x{image.height}", output.size_of(len(image.data)), base, enlarged)
    output.out.print(rows)
