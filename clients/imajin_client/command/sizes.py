"""`imajin sizes`: one picture in many sizes, from the fewest bases."""

from __future__ import annotations

import sys
from typing import Annotated, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import drawing, output
from imajin_client.command.following import follow, save_all
from imajin_client.command.running import run
from imajin_client.drawing import DrawOptions
from imajin_client.job import Job
from imajin_client.names import Format, Scheduler, Style
from imajin_client.sizing import Plan


def sizes(
    prompt: Annotated[str, typer.Argument(help="What to draw; - reads stdin. Without it the sizes are listed.")] = "",
    size: Annotated[list[str] | None, typer.Option("--size", "-s", help="Name or WxH; repeat it.")] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for the images.")] = ".",
    plan: Annotated[bool, typer.Option("--plan", help="Only say which bases would be drawn.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the job's id, and leave.")] = False,
    negative: Annotated[str, typer.Option(help="What not to draw.")] = "",
    model: Annotated[str, typer.Option(help="Name of a model.")] = "",
    style: Annotated[str, typer.Option(help="photorealistic or anime, where no model is named.")] = "",
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every base.")] = None,
    scheduler: drawing.Scheduler = "",
    lora: drawing.Lora = None,
    format: Annotated[str, typer.Option(help="png, jpeg, webp or avif.")] = "",
    text: Annotated[str, typer.Option(help="Text to draw over each size.")] = "",
    watermark: Annotated[str | None, typer.Option(help="Visible mark; empty for the server's default text.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher goes first, 0 to 100.")] = None,
    request_id: Annotated[str, typer.Option(help="Idempotency key.")] = "",
    as_json: output.Json = False,
    events: output.Events = False,
) -> None:
    """Make one picture in many sizes; without a prompt, list the named sizes. Ctrl-C cancels the job."""
    options = DrawOptions(
        negative_prompt=negative,
        model=model,
        style=cast("Style | None", style or None),
        steps=steps,
        guidance_scale=guidance,
        seed=seed,
        scheduler=cast("Scheduler | None", scheduler or None),
        loras=drawing.loras(lora),
        format=cast("Format | None", format or None),
        text_overlay=text or None,
        watermark=watermark,
        priority=priority,
    )
    wanted = size or []
    if (prompt or plan) and not wanted:
        raise typer.BadParameter("name at least one size, such as --size hero or --size 1200x630", param_hint="--size")
    text_prompt = sys.stdin.read().strip() if prompt == "-" else prompt

    async def work(client: AsyncClient) -> None:
        if plan:
            tell_plan(await client.plan_sizes(wanted, model=model, style=options.get("style")), as_json=as_json)
        elif not text_prompt:
            await list_sizes(client, as_json=as_json)
        else:
            job = await client.batch_sizes(text_prompt, sizes=wanted, request_id=request_id, **options)
            if detach:
                tell_submitted(job, as_json=as_json)
                return
            done = await follow(client, job.job_id, names=wanted, cancel=True, events=events, quiet=as_json)
            await save_all(client, done.check(), out, as_json=as_json, events=events)

    run(work, as_json=as_json or events)


def tell_submitted(job: Job, *, as_json: bool) -> None:
    """Prints the id of a job that goes on by itself."""
    if as_json:
        output.document(job)
    else:
        output.out.print(job.job_id, markup=False)


def tell_plan(plan: Plan, *, as_json: bool) -> None:
    """Prints which size would be cut from which base."""
    if as_json:
        output.document(plan)
        return
    bases = {base.name: f"{base.name} {base.width}x{base.height}" for base in plan.bases}
    rows = output.table("size", "pixels>", "cut from", "enlarged>", "of the base>")
    for crop in plan.crops:
        pixels = f"{crop.width}x{crop.height}"
        output.row(rows, crop.name, pixels, bases.get(crop.base, crop.base), f"{crop.upscale:.2f}x", f"{crop.kept:.0%}")
    output.out.print(rows)


async def list_sizes(client: AsyncClient, *, as_json: bool) -> None:
    """Prints the named sizes."""
    found = await client.sizes()
    if as_json:
        output.document({name: {"width": width, "height": height} for name, (width, height) in found.items()})
        return
    rows = output.table("size", "pixels>")
    for name, (width, height) in found.items():
        output.row(rows, name, f"{width}x{height}")
    output.out.print(rows)
