"""`imajin generate`: one image from a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from imajin_client.client import AsyncClient
from imajin_client.command import drawing, output
from imajin_client.command.files import format_for
from imajin_client.command.running import run
from imajin_client.drawing import TextOverlay
from imajin_client.generating import GenerateOptions
from imajin_client.names import Anchor, Scheduler, Style


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw; - reads stdin.")],
    out: Annotated[str, typer.Option("--out", "-o", help="File or folder for the image; - writes stdout.")] = ".",
    negative: Annotated[str, typer.Option(help="What not to draw.")] = "",
    model: Annotated[str, typer.Option(help="Name of a model.")] = "",
    style: Annotated[str, typer.Option(help="photorealistic or anime, where no model is named.")] = "",
    width: Annotated[int | None, typer.Option(help="Width in pixels.")] = None,
    height: Annotated[int | None, typer.Option(help="Height in pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the noise.")] = None,
    noise_canvas: Annotated[str, typer.Option(help="WxH: the field of noise that it takes the centre of.")] = "",
    scheduler: drawing.Scheduler = "",
    lora: drawing.Lora = None,
    format: Annotated[str, typer.Option(help="png, jpeg, webp or avif; by the ending of --out otherwise.")] = "",
    text: Annotated[str, typer.Option(help="Text to draw over the image.")] = "",
    text_position: Annotated[str, typer.Option(help="Where: top-left, top, ..., bottom-right.")] = "",
    watermark: Annotated[str | None, typer.Option(help="Visible mark; empty for the server's default text.")] = None,
    raw: Annotated[bool, typer.Option("--skip-processing", help="Leave the image as drawn.")] = False,
    family: Annotated[str, typer.Option(help="Family of derivatives.")] = "",
    derivatives: Annotated[Path | None, typer.Option(help="Folder for the derivatives.")] = None,
    previews: Annotated[Path | None, typer.Option(help="Folder for a preview of each step.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 900,
    as_json: output.Json = False,
    events: output.Events = False,
) -> None:
    """Make one image. Ctrl-C ends the work at the server within a step."""
    options = GenerateOptions(
        negative_prompt=negative,
        model=model,
        style=cast("Style | None", style or None),
        width=width,
        height=height,
        steps=steps,
        guidance_scale=guidance,
        seed=seed,
        scheduler=cast("Scheduler | None", scheduler or None),
        loras=drawing.loras(lora),
        noise_canvas=drawing.canvas(noise_canvas),
        format=format_for(format, out),
        text_overlay=TextOverlay(text, position=cast("Anchor | None", text_position or None)) if text else None,
        watermark=watermark,
        skip_processing=raw,
        family=family,
    )
    wanted = sys.stdin.read().strip() if prompt == "-" else prompt

    async def work(client: AsyncClient) -> None:
        stream = client.generate_stream(wanted, preview_interval=1 if previews else 0, timeout=timeout, **options)
        await drawing.follow_drawing(
            stream, out, default="imajin", derivatives=derivatives, previews=previews, as_json=as_json, events=events
        )

    run(work, as_json=as_json or events)
