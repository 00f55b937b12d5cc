"""`imajin jobs`: list, show, watch, cancel and save jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import output
from imajin_client.command.files import write_image
from imajin_client.command.following import follow, save_all
from imajin_client.command.running import run
from imajin_client.job import Job
from imajin_client.names import JobStatus

app = typer.Typer(help="Jobs: list, show, watch, cancel, save.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]


@app.command("list")
def list_jobs(
    status: Annotated[str, typer.Option(help="Only queued, processing, completed, failed or cancelled ones.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: output.Json = False,
) -> None:
    """List jobs, newest first."""

    async def work(client: AsyncClient) -> None:
        found = await client.jobs.list(status=cast("JobStatus | None", status or None), limit=limit)
        if as_json:
            output.document(found)
            return
        rows = output.table("job", "status", "kind", "progress>", "images>", "began", "prompt")
        for job in found:
            progress = f"{job.progress.fraction:.0%}" if job.progress and not job.done else ""
            shown = job.prompt if len(job.prompt) <= 60 else job.prompt[:59] + "…"
            output.row(rows, job.job_id, job.status, job.kind, progress, len(job.images), clock(job.create_time), shown)
        output.out.print(rows)

    run(work, as_json=as_json)


@app.command()
def show(job_id: JobId, as_json: output.Json = False) -> None:
    """Show a job."""

    async def work(client: AsyncClient) -> None:
        job = await client.jobs.get(job_id)
        if as_json:
            output.document(job)
        else:
            tell(job)

    run(work, as_json=as_json)


@app.command()
def watch(
    job_id: JobId,
    after_event: Annotated[int, typer.Option(min=0, help="Only events after this one.")] = 0,
    as_json: output.JsonLines = False,
) -> None:
    """Watch a job until it has ended. Ctrl-C leaves; the job goes on. Exit status 1 when it failed or was cancelled."""

    async def work(client: AsyncClient) -> None:
        job = await follow(client, job_id, cancel=False, after_event=after_event, events=as_json)
        if not as_json:
            tell(job)
        job.check()

    run(work, as_json=as_json)


@app.command()
def cancel(job_id: JobId, as_json: output.Json = False) -> None:
    """Cancel a job. Its work ends within a step."""

    async def work(client: AsyncClient) -> None:
        job = await client.jobs.cancel(job_id)
        if as_json:
            output.document(job)
        else:
            output.out.print(f"{job.job_id} {job.status}", markup=False)

    run(work, as_json=as_json)


@app.command()
def save(
    job_id: JobId,
    name: Annotated[str, typer.Argument(help="One image by its name; all of them without it.")] = "",
    out: Annotated[str, typer.Option("--out", "-o", help="Folder, or file for one image; - writes stdout.")] = ".",
    as_json: output.Json = False,
) -> None:
    """Save the images of a finished job."""
    if out == "-" and not name:
        raise typer.BadParameter("stdout takes one image: name it", param_hint="NAME")

    async def work(client: AsyncClient) -> None:
        if not name:
            await save_all(client, (await client.jobs.get(job_id)).check(), out, as_json=as_json)
            return
        image = await client.jobs.result(job_id, name)
        path = write_image(image, out, default=name)
        if path is not None and as_json:
            output.document({**output.plain(image), "file": path})
        elif path is not None:
            output.out.print(str(path), markup=False, soft_wrap=True)

    run(work, as_json=as_json)


def tell(job: Job) -> None:
    """Prints a job for people."""
    output.out.print(f"{job.job_id} {job.status} {job.kind}", markup=False)
    output.out.print(f"  {job.prompt}", markup=False, soft_wrap=True, style="dim")
    if job.error is not None:
        output.out.print(f"  {job.error.reason}: {job.error.message}", markup=False, soft_wrap=True, style="red")
    if job.progress is not None and not job.done:
        output.out.print(f"  {job.progress.fraction:.0%} {job.progress.label}", markup=False)
    for name, image in job.images.items():
        cut = f" cut from {image.base}, {image.upscale:.2f}x" if image.base else ""
        output.out.print(
            f"  {name}: {image.width}x{image.height} {image.format} {output.size_of(image.size_bytes)}{cut}",
            markup=False,
            soft_wrap=True,
        )


def clock(when: datetime | None) -> str:
    """A time for people, in their time zone."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S") if when else ""
